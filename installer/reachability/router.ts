/**
 * What the router tells of itself: its outer IPv4 address (NAT-PMP, UPnP) and the ways in which programs may have it
 * forward ports. With another address than the Internet sees, a second translator is in front of it. Called by look.ts and
 * forward.ts. I/O by nat-pmp.ts, pcp.ts and upnp.ts, all asked at once; nothing is changed.
 */
import type { ServerPlace } from "../dns/exchange.ts";
import type { RouterFact } from "./facts.ts";
import type { Forwarder, ForwardingWay } from "./forwarder.ts";
import { mappingPort, natPmpForwarder, outerAddressByNatPmp } from "./nat-pmp.ts";
import { pcpForwarder, speaksPcp } from "./pcp.ts";
import { defaultRouter } from "./router-place.ts";
import { connectedService, upnpForwarder } from "./upnp.ts";
import { findUpnpServices, searchPlaces } from "./upnp-search.ts";

/** Where a router takes questions. */
export type RouterPlaces = Readonly<{
  address: string;
  /** NAT-PMP and PCP. */
  mapping: ServerPlace;
  /** SSDP. */
  search: readonly ServerPlace[];
}>;

export type RouterAnswers = Readonly<{
  outerAddress: string | null;
  /** The preferred first: what lasts before what has to be prolonged. */
  forwarders: readonly Forwarder[];
}>;

/** `places`: undefined: found in the system's table of routes. Null when there is no router. */
export async function findRouter(places: RouterPlaces | null | undefined): Promise<RouterPlaces | null> {
  if (places !== undefined) return places;
  const address = await defaultRouter();
  if (address === null) return null;
  return { address, mapping: { address, port: mappingPort }, search: searchPlaces(address) };
}

/** `own`: this computer's address towards the router. `secret`: of pcp.ts. */
export async function askRouterOfItself(
  places: RouterPlaces,
  { own, secret }: Readonly<{ own: string; secret: Buffer }>,
  signal: AbortSignal,
): Promise<RouterAnswers> {
  const { address, mapping, search } = places;
  const [byNatPmp, isPcp, connected] = await Promise.all([
    outerAddressByNatPmp(mapping, signal),
    speaksPcp(mapping, signal),
    findUpnpServices(search, { router: address, own }, signal).then((services) =>
      connectedService(services, signal),
    ),
  ]);
  const forwarders: Forwarder[] = [];
  if (connected !== null) forwarders.push(upnpForwarder(connected.service));
  if (isPcp) forwarders.push(pcpForwarder(mapping, own, secret));
  if (byNatPmp !== null) forwarders.push(natPmpForwarder(mapping, own));
  return { outerAddress: byNatPmp ?? connected?.outerAddress ?? null, forwarders };
}

/** The same as a fact of the line. `own`: null without IPv4. */
export async function routerFact(
  wished: RouterPlaces | null | undefined,
  own: Promise<string | null>,
  signal: AbortSignal,
): Promise<RouterFact | null> {
  const places = await findRouter(wished);
  const from = await own;
  if (places === null || from === null) return null;
  // Nothing is forwarded here: any secret will do.
  const { outerAddress, forwarders } = await askRouterOfItself(
    places,
    { own: from, secret: Buffer.alloc(0) },
    signal,
  );
  const forwarding: readonly ForwardingWay[] = forwarders.map(({ way }) => way);
  return { address: places.address, outerAddress, forwarding };
}
