/**
 * Whether a relay's DNS records are published: finds the zone, asks every one of its name servers, and compares what they
 * say with what the relay needs. Called by `./homing dns`, by watch.ts and by the wizard. I/O on the network only.
 */
import { randomBytes } from "node:crypto";
import { presentation } from "../../appliance/dns/record-set.ts";
import { dnsTypes } from "../../appliance/dns/wire.ts";
import { specialUseOf } from "../../appliance/domain.ts";
import { dnssecOf } from "./dnssec.ts";
import { askServer, NoAnswerError, type ServerPlace } from "./exchange.ts";
import { contentFindings, disagreements, dnssecFindings, serverFindings } from "./findings.ts";
import { judge } from "./judge.ts";
import { printableAll } from "./printable.ts";
import type { DnsReport, Finding, RecordReport, ServerReport } from "./report.ts";
import { type AskResolver, httpsResolver, systemResolver } from "./resolver.ts";
import { at, type Judged, recordStates, type Verdict, valuesOf } from "./verdict.ts";
import { type RelayQuestion, type View, viewOfResolver, viewOfServer } from "./views.ts";
import { type DesiredDns, questionsFor, type Wanted, wantedOf, wildcardNames } from "./wanted.ts";
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
type Inquiry = Readonly<{
  zones: ZoneServers;
  path: DnsReport["path"];
  asked: readonly string[];
  views: readonly View[];
  findings: readonly Finding[];
}>;

/** Throws the signal's reason; whatever the network does is in the report. */
export async function checkDns(desired: DesiredDns, options: CheckOptions): Promise<DnsReport> {
  const wanted = wantedOf(desired);
  // Nobody has a name that was just made up.
  const nobody = `nobody-${randomBytes(6).toString("hex")}`;
  const inquiry = await inquire(desired.domain, wanted, nobody, options);
  const { zones, views } = inquiry;
  const hasZone = zones.zone.includes(".");
  const addresses = desired.records.flatMap((record) =>
    record.name === desired.domain && "address" in record ? [presentation(record)] : [],
  );
  const nobodies = wildcardNames(desired.domain, zones.zone, nobody);
  const isKnown = desired.selectors === undefined;
  const { domain, challenge } = desired;
  const judged: Judged = { domain, zone: zones.zone, addresses, nobodies, isKnown, challenge };
  const answering = views.filter(({ state }) => state === "answers");
  const records = wanted.map((each) => reportOf(each, hasZone ? answering : [], judged, hasZone));
  const dnssec = hasZone && options.servers === undefined ? await dnssecState(inquiry, options) : undefined;
  const questions = wanted.map(({ name, type }) => ({ name, type }));
  const [first] = answering;
  const findings = [
    ...inquiry.findings,
    ...(hasZone ? [] : [noZone(desired.domain, zones.zone)]),
    ...(inquiry.path === "servers" && hasZone ? serverFindings(zones, views) : []),
    ...(hasZone ? disagreements(views, questions) : []),
    ...(dnssec === undefined ? [] : dnssecFindings(dnssec, zones.zone)),
    ...(hasZone && first !== undefined ? contentFindings(first, judged) : []),
  ];
  const outside = dnssec?.askedOutside === true ? options.world.https : [];
  return printableAll({
    domain: desired.domain,
    zone: hasZone ? zones.zone : null,
    nameServers: hasZone ? zones.servers.map(({ name }) => name) : [],
    path: inquiry.path,
    asked: [...new Set([...inquiry.asked, ...outside])],
    servers: hasZone ? views.map(serverReport) : [],
    dnssec: dnssec?.state ?? "unknown",
    records,
    findings,
    works: [...records, ...findings].every(({ severity }) => severity !== "error"),
  });
}

function serverReport({ server, address, state, reason, serial }: View): ServerReport {
  return { server, address, state, reason, serial };
}

async function inquire(
  domain: string,
  wanted: readonly Wanted[],
  nobody: string,
  { world, signal, servers }: CheckOptions,
): Promise<Inquiry> {
  const resolver = systemResolver(world, signal);
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
      return await inquireElsewhere(code, direct, domain, ask, resolver, world, signal);
    }
    if (isSeen || !(await isBlocked(world, signal))) return direct;
    return await inquireElsewhere("port-53-blocked", direct, domain, ask, resolver, world, signal);
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
  return { zones, views, path: "servers", asked: [], findings: [] };
}

/** By resolvers, where name servers cannot be asked; by HTTPS nobody on the way can answer in their place. */
async function inquireElsewhere(
  code: "port-53-intercepted" | "port-53-blocked",
  direct: Inquiry,
  domain: string,
  ask: QuestionsOf,
  system: AskResolver,
  world: DnsWorld,
  signal: AbortSignal | undefined,
): Promise<Inquiry> {
  const https = httpsResolver(world, signal);
  const byHttps = await zoneByResolver(domain, https);
  const found = byHttps ?? (await zoneByResolver(domain, system));
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
  const view = await viewOfResolver(name, zone, ask(zone), path === "https" ? https : system);
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

async function dnssecState({ zones, views, path }: Inquiry, { world, signal, now = Date.now }: CheckOptions) {
  const isDirect = path === "servers";
  const addresses = views.filter(({ state }) => state === "answers").map(({ address }) => address);
  const https = httpsResolver(world, signal);
  return dnssecOf(
    zones.zone,
    {
      ...{ port: world.port, parentAddresses: isDirect ? zones.parentAddresses : [] },
      ...{ addresses: isDirect ? addresses : [], now: Math.floor(now() / 1000) },
      ...{ resolver: path === "https" ? https : systemResolver(world, signal), outside: https },
    },
    signal,
  );
}

function reportOf(wanted: Wanted, views: readonly View[], judged: Judged, hasZone: boolean): RecordReport {
  const { name, type, need, purpose } = wanted;
  const silence: Verdict = hasZone
    ? { state: "unknown", reason: "no name server answers", mend: "Mend the name servers first." }
    : { state: "missing", reason: "", mend: "" };
  const verdicts = views.map(({ lookups }) => judge(wanted, lookups, judged));
  const rank = ({ state, warning }: Verdict) => 2 * recordStates.indexOf(state) + (warning === true ? 1 : 0);
  const [first = silence, ...more] = verdicts;
  const worst = more.reduce((a, b) => (rank(b) > rank(a) ? b : a), first);
  const bad = views.filter((_, index) => verdicts[index]!.state !== "ok");
  const isPartial = bad.length > 0 && bad.length < views.length;
  const at_ = isPartial ? `at ${bad.map(({ server }) => server).join(", ")}` : "";
  const isBroken = worst.state !== "ok" && (need === "required" || worst.grave === true);
  const found = views
    .flatMap(({ lookups }) => valuesOf(at(lookups, wanted)))
    .filter((value) => value.type === type);
  return {
    ...{ name, type, need, purpose, state: worst.state, mend: worst.mend },
    severity: isBroken ? "error" : worst.state !== "ok" || worst.warning === true ? "warning" : "none",
    wanted: wanted.records.map(presentation),
    found: [...new Set(found.map(presentation))],
    reason: [worst.reason, at_].filter((words) => words !== "").join(" "),
  };
}

/** `above`: the closest zone that is known here, the root's name when not even the top-level domain is. */
function noZone(domain: string, above: string): Finding {
  if (above !== "") {
    return {
      ...{ severity: "error", code: "delegation-missing" },
      text: `${domain} is in no zone: the closest one that exists is ${above}, and it does not know that name`,
      mend: "Register the domain, and enter the name servers of your DNS provider at the registrar.",
    };
  }
  const special = specialUseOf(domain);
  if (special !== undefined) {
    return {
      ...{ severity: "error", code: "delegation-missing" },
      text: `no public DNS knows ${domain}: “.${special.ending}” is set aside (${special.source})`,
      mend: "Choose a domain of your own, or name the address of your own DNS server by --server.",
    };
  }
  return {
    ...{ severity: "error", code: "no-dns" },
    text: `not even “.${domain.split(".").at(-1)}” is known here, or the DNS cannot be asked from here at all`,
    mend: "See that the domain is spelled right and this computer connected to the Internet, and run the check again.",
  };
}
