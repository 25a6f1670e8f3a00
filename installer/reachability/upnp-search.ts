/**
 * Finds the router's UPnP device (SSDP: UPnP Device Architecture 1.1 §1.3) and in its description the service that
 * forwards ports (WANIPConnection, of Internet Gateway Devices 1 and 2; WANPPPConnection). Called by router.ts and
 * forward.ts. I/O: datagrams in the local network, one page of the router.
 */
import { isIPv4 } from "node:net";
import { NoAnswerError, type ServerPlace } from "../dns/exchange.ts";
import { byDatagrams } from "./datagrams.ts";
import { askHttp } from "./http-exchange.ts";

/** UPnP Device Architecture 1.1 §1.3.2. */
const SSDP_PORT = 1900;
const SSDP_GROUP = "239.255.255.250";
/** Whoever has several networks in a row passes a search on this far; §1.3.2. */
const TIME_TO_LIVE = 2;
/** A device may take MX seconds; and a datagram may get lost. */
const MX_S = 1;
const SENDING_MS = [0, 500] as const;
const SEARCH_LIMIT_MS = 2000;
/** Devices of the second version answer to the first one's name as well; §1.3.2. */
const targets = [
  "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
] as const;
/** Headers; a datagram that came in one piece. */
const MAX_ANSWER_BYTES = 2048;
/** The longest descriptions of home routers have some twenty thousand. */
const MAX_PAGE_BYTES = 131_072;
const PAGE_LIMIT_MS = 3000;
/** Routers with several ways out (DSL, cable, mobile) name each. */
const MAX_SERVICES = 6;

export type UpnpService = Readonly<{ type: string; control: URL; address: string }>;

/** Where the router hears searches: the group of all devices, and it alone, which gets through more access points. */
export const searchPlaces = (router: string): readonly ServerPlace[] => [
  { address: SSDP_GROUP, port: SSDP_PORT },
  { address: router, port: SSDP_PORT },
];

/** Services of the router and of nobody else: whoever else answers has no say about this line. None when it has none. */
export async function findUpnpServices(
  places: readonly ServerPlace[],
  { router, own }: Readonly<{ router: string; own: string }>,
  signal: AbortSignal,
): Promise<UpnpService[]> {
  const page = await searchDescription(places, router, own, signal);
  if (page === null) return [];
  try {
    const { status, text } = await askHttp(
      { url: page, address: router, headers: {}, maxBytes: MAX_PAGE_BYTES, limit: PAGE_LIMIT_MS },
      signal,
    );
    return status === 200 ? servicesIn(text, page, router) : [];
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    return [];
  }
}

function searchDescription(
  places: readonly ServerPlace[],
  router: string,
  own: string,
  signal: AbortSignal,
): Promise<URL | null> {
  if (places.length === 0) return Promise.resolve(null);
  return byDatagrams<URL>(signal, ({ socket, end, after }) => {
    socket.on("message", (answer, { address }) => {
      const page = address === router ? descriptionIn(answer, router) : undefined;
      if (page !== undefined) end(page);
    });
    const send = () => {
      for (const place of places) {
        for (const target of targets) {
          // One of two places that cannot be sent to leaves the other.
          socket.send(searchFor(target, place), place.port, place.address, () => {});
        }
      }
    };
    socket.bind(0, own, () => {
      socket.setMulticastTTL(TIME_TO_LIVE);
      socket.setMulticastInterface(own);
      for (const milliseconds of SENDING_MS) after(milliseconds, send);
      after(SEARCH_LIMIT_MS, () => end(null));
    });
  });
}

const searchFor = (target: string, { address, port }: ServerPlace) =>
  Buffer.from(
    `M-SEARCH * HTTP/1.1\r\nHOST: ${address}:${port}\r\nMAN: "ssdp:discover"\r\nMX: ${MX_S}\r\nST: ${target}\r\n\r\n`,
  );

/** Undefined for what is no answer, or names a page elsewhere than at the router. */
function descriptionIn(answer: Buffer, router: string): URL | undefined {
  const text = answer.toString("latin1", 0, MAX_ANSWER_BYTES);
  if (!/^HTTP\/1\.[01] 200 /.test(text)) return undefined;
  const [, location = ""] = /^location:[ \t]*(\S+)[ \t]*\r?$/im.exec(text) ?? [];
  return urlAt(location, undefined, router);
}

/** Undefined unless it is at the router. */
function urlAt(text: string, base: URL | undefined, router: string): URL | undefined {
  const url = URL.parse(text, base?.href);
  return url?.protocol === "http:" && url.hostname === router && isIPv4(router) ? url : undefined;
}

/** Pure. The description's XML is read by what it must hold (UPnP Device Architecture 1.1 §2.3), whatever else it has. */
export function servicesIn(description: string, page: URL, router: string): UpnpService[] {
  const [, baseText = ""] = /<URLBase>\s*([^<\s]+)\s*<\/URLBase>/i.exec(description) ?? [];
  const base = urlAt(baseText, undefined, router) ?? page;
  const found: UpnpService[] = [];
  for (const piece of description.split(/<service>/i).slice(1)) {
    const [service = ""] = piece.split(/<\/service>/i, 1);
    const [, type = ""] = /<serviceType>\s*([^<\s]+)\s*<\/serviceType>/i.exec(service) ?? [];
    const [, path = ""] = /<controlURL>\s*([^<\s]+)\s*<\/controlURL>/i.exec(service) ?? [];
    const isWanted = /^urn:schemas-upnp-org:service:WAN(?:IP|PPP)Connection:[12]$/.test(type);
    const control = isWanted ? urlAt(path.replaceAll("&amp;", "&"), base, router) : undefined;
    if (control !== undefined && found.length < MAX_SERVICES) found.push({ type, control, address: router });
  }
  return found;
}
