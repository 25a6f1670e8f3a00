/**
 * Asks all that a check of the DNS wants to know: each name server of the zone; where those cannot be asked, resolvers by
 * HTTPS, or this computer's. Called by check.ts, which judges what is learned here. I/O on the network only.
 */
import { dnsTypes } from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError, type ServerPlace } from "./exchange.ts";
import { noDnsMend, noDnsText } from "./no-dns.ts";
import type { DnsReport, Finding } from "./report.ts";
import {
  type AskResolver,
  httpsResolver,
  isBelieved,
  type NotedResolver,
  noting,
  systemResolver,
} from "./resolver.ts";
import { type RelayQuestion, type View, viewOfResolver, viewOfServer } from "./views.ts";
import { questionsFor, type Wanted } from "./wanted.ts";
import type { DnsWorld } from "./world.ts";
import { findZoneServers, type ZoneServers, zoneByResolver } from "./zone-servers.ts";

export type CheckOptions = Readonly<{
  world: DnsWorld;
  signal?: AbortSignal;
  /** Ask these name servers instead of those that the DNS names. */
  servers?: readonly ServerPlace[];
  /** Milliseconds since 1970; for the times of signatures. */
  now?: () => number;
}>;

/** What was learned, before it is judged. */
export type Inquiry = Readonly<{
  zones: ZoneServers;
  path: DnsReport["path"];
  asked: readonly string[];
  views: readonly View[];
  findings: readonly Finding[];
}>;

/** Throws the signal's reason. */
export async function inquire(
  domain: string,
  wanted: readonly Wanted[],
  nobody: string,
  { world, signal, servers }: CheckOptions,
): Promise<Inquiry> {
  const system = noting(systemResolver(world, signal));
  const resolver = system.ask;
  const ask = (zone: string) => questionsFor(wanted, domain, zone, nobody);
  if (servers !== undefined) return inquireAt(servers, domain, ask, resolver, signal);
  const decoy = startDecoy(world, signal);
  try {
    const zones = await findZoneServers(domain, world, resolver, signal);
    const places = zones.servers.flatMap(({ name, addresses }) =>
      addresses.map((address) => ({ name, address, port: world.port })),
    );
    const views = zones.zone.includes(".")
      ? await Promise.all(
          places.map((place) => viewOfServer(place, zones.zone, ask(zones.zone), resolver, signal)),
        )
      : [];
    const isSeen = views.some(({ state }) => state === "answers");
    const direct: Inquiry = { zones, views, path: "servers", asked: [], findings: [] };
    if (decoy.answered() || (zones.suspicious && !isSeen)) {
      const code = "port-53-intercepted";
      return await inquireElsewhere(code, direct, domain, ask, system, world, signal);
    }
    if (isSeen || !(await isBlocked(world, signal))) return direct;
    return await inquireElsewhere("port-53-blocked", direct, domain, ask, system, world, signal);
  } finally {
    decoy.stop();
  }
}

type QuestionsOf = (zone: string) => RelayQuestion[];

/** Name servers that the owner named: the closest zone that they have. */
async function inquireAt(
  servers: readonly ServerPlace[],
  domain: string,
  ask: QuestionsOf,
  resolver: AskResolver,
  signal: AbortSignal | undefined,
): Promise<Inquiry> {
  const [first] = servers;
  const found =
    first === undefined
      ? null
      : await zoneByResolver(domain, (question, options) =>
          askServer(first, question, { ...options, recursion: false }, signal),
        );
  // Without any zone of use, the domain stands for it: what the servers say of that is the finding.
  const name = found?.zone.includes(".") === true ? found.zone : domain;
  const zones: ZoneServers = {
    ...{ zone: name, delegated: null, parentAddresses: [], suspicious: false },
    servers: servers.map(({ address }) => ({ name: address, addresses: [address] })),
  };
  const views = await Promise.all(
    servers.map((place) =>
      viewOfServer({ name: place.address, ...place }, name, ask(name), resolver, signal),
    ),
  );
  if (views.every(({ state }) => state === "silent" || state === "unreachable")) {
    const text = `no answer came from ${servers.map(({ address }) => address).join(" and ")}`;
    const mend = "See that --server names the address of a name server, and that this computer can reach it.";
    return { zones, views: [], ...unanswered(text, mend) };
  }
  return { zones, views, path: "servers", asked: [], findings: [] };
}

/** Where nobody answered at all, which says nothing of any record. */
function unanswered(text: string, mend: string, asked: readonly string[] = []) {
  const finding: Finding = { severity: "error", code: "no-dns", text, mend };
  return { path: "none", asked, findings: [finding] } as const;
}

/** By resolvers, where name servers cannot be asked; by HTTPS nobody on the way can answer in their place. */
async function inquireElsewhere(
  code: "port-53-intercepted" | "port-53-blocked",
  direct: Inquiry,
  domain: string,
  ask: QuestionsOf,
  system: NotedResolver,
  world: DnsWorld,
  signal: AbortSignal | undefined,
): Promise<Inquiry> {
  const https = noting(httpsResolver(world, signal));
  const byHttps = await zoneByResolver(domain, https.ask);
  const found = byHttps ?? (await zoneByResolver(domain, system.ask));
  const isKnown = found !== null || direct.zones.zone !== "";
  if (!isKnown && !(await isBelieved(https)) && !(await isBelieved(system))) {
    const text = noDnsText(world, ["the name servers of the root", ...world.https]);
    return { ...direct, ...unanswered(text, noDnsMend, world.https) };
  }
  const path = byHttps === null ? "resolver" : "https";
  const name = path === "https" ? "a resolver by HTTPS" : "this computer's resolver";
  const why =
    code === "port-53-blocked"
      ? "this network lets nothing through to name servers (port 53)"
      : "somebody on this network answers in the place of all name servers (port 53)";
  const finding: Finding = {
    ...{
      severity: "warning",
      code,
      text: `${why}, so ${name} was asked instead, which may know an old state`,
    },
    mend: "For a check of each name server, use another network, or a telephone's.",
  };
  const zone = found?.zone ?? (path === "resolver" ? direct.zones.zone : "");
  const zones: ZoneServers = {
    ...{ zone, delegated: null, parentAddresses: [], suspicious: false },
    servers: (found?.names ?? []).map((host) => ({ name: host, addresses: [] })),
  };
  const view = await viewOfResolver(name, zone, ask(zone), path === "https" ? https.ask : system.ask);
  return { zones, views: [view], path, asked: world.https, findings: found === null ? [] : [finding] };
}

/** Asks where nobody is. Started first and looked at last, so that nobody has to wait for the silence. */
function startDecoy(world: DnsWorld, signal: AbortSignal | undefined) {
  const stop = new AbortController();
  let answered = false;
  const place = { address: world.nowhere, port: world.port };
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  askServer(place, { name: "", type: dnsTypes.SOA }, {}, both).then(
    () => {
      answered = true;
    },
    () => {}, // silence, as it should be; or nobody wants to know any more
  );
  return { answered: () => answered, stop: () => stop.abort() };
}

/** No server answers: is it theirs, or this network's? The servers of the root always answer. */
async function isBlocked(world: DnsWorld, signal: AbortSignal | undefined): Promise<boolean> {
  const asked = world.roots.map((address) =>
    askServer({ address, port: world.port }, { name: "", type: dnsTypes.SOA }, {}, signal),
  );
  try {
    await Promise.any(asked);
    return false;
  } catch (error) {
    signal?.throwIfAborted();
    const unforeseen = (error as AggregateError).errors.find((each) => !(each instanceof NoAnswerError));
    if (unforeseen !== undefined) throw unforeseen;
    return true;
  }
}
