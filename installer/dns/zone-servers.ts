/**
 * Finds the zone that holds a name and every name server of it: what the zone above delegates to, and what the zone says
 * itself (RFC 1034 §4.2). Begins where a resolver points to, or at the root where none answers, and goes down from one
 * delegation to the next, so that a delegation to servers that do not answer is found too. Called by check.ts; I/O by
 * the exchanges.
 */
import { dnsTypes, readData } from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError, readable } from "./exchange.ts";
import {
  answersOf,
  type DnsAnswer,
  type DnsQuestion,
  diagnosticTypes,
  outcomes,
  targetsOf,
} from "./message.ts";
import { type AskResolver, hasRecords, hostAddresses } from "./resolver.ts";
import type { DnsWorld } from "./world.ts";

export type NameServer = Readonly<{ name: string; addresses: readonly string[] }>;

export type ZoneServers = Readonly<{
  /** Absolute, lower case, no final dot; "" for the root. */
  zone: string;
  /** Those that are to be asked: named by the zone above or by the zone itself. */
  servers: readonly NameServer[];
  /** Names by which the zone above delegates; null when that could not be learned. */
  delegated: readonly string[] | null;
  /** Where the servers of the zone above are, for what only they know (DS); none when that could not be learned. */
  parentAddresses: readonly string[];
  /** Servers that should have the zone answered like resolvers: somebody else may answer in their place. */
  suspicious: boolean;
}>;

/** Large zones have 13 servers with two addresses each. */
const limits = { servers: 16, addresses: 4, delegations: 12, hostDepth: 4, askedOfParent: 4 } as const;

/** A zone on the way down. */
type Level = Readonly<{ zone: string; addresses: readonly string[] }>;
type Referral = Readonly<{ zone: string; names: string[]; glue: ReadonlyMap<string, string[]> }>;

/** Throws NoAnswerError when neither the resolver nor the servers of the root answer, and the signal's reason. */
export async function findZoneServers(
  domain: string,
  world: DnsWorld,
  resolver: AskResolver,
  signal?: AbortSignal,
): Promise<ZoneServers> {
  const zones = await zonesAmong(endsOf(domain), resolver);
  const [closest = "", above = ""] = zones;
  const [known, start] = await Promise.all([
    closest === "" ? [] : serverNames(closest, resolver),
    levelOf(above, world, resolver),
  ]);
  const down = await goDown(domain, start, { world, resolver, signal, depth: 0 });
  // A server of the zone above that has the zone too shows no delegation: then the resolver's word counts.
  const zone = down.zone.length > closest.length ? down.zone : closest;
  const delegated = down.zone === zone && down.delegated.length > 0 ? down.delegated : null;
  const wanted = [...new Set([...(delegated ?? []), ...(zone === closest ? known : [])])];
  const servers = await Promise.all(
    wanted.slice(0, limits.servers).map(async (name): Promise<NameServer> => {
      const addresses =
        down.glue.get(name) ?? (await addressesOf(name, { world, resolver, signal, depth: 0 }));
      return { name, addresses: [...new Set(addresses)].slice(0, limits.addresses) };
    }),
  );
  const parentAddresses = down.zone === zone ? down.parentAddresses : [];
  return { zone, servers, delegated, parentAddresses, suspicious: down.suspicious };
}

/** The zone and its name servers by a resolver's word alone. Null when no zone is known. */
export async function zoneByResolver(
  domain: string,
  resolver: AskResolver,
): Promise<Readonly<{ zone: string; names: readonly string[] }> | null> {
  const [zone] = await zonesAmong(endsOf(domain), resolver);
  return zone === undefined ? null : { zone, names: await serverNames(zone, resolver) };
}

/** The name, and every name above it. */
function endsOf(domain: string): string[] {
  return domain.split(".").map((_, start, labels) => labels.slice(start).join("."));
}

/** Which of the names are zones by the resolver's word, the longest first. None when no resolver answers. */
async function zonesAmong(names: readonly string[], resolver: AskResolver): Promise<string[]> {
  const found = await Promise.all(
    names.map(async (name) => {
      const question = { name, type: dnsTypes.SOA };
      return hasRecords(await resolver(question, { unchecked: true }).catch(nothingIfSilent), question);
    }),
  );
  return names.filter((_, index) => found[index]);
}

const silence = { outcome: outcomes.serverFailure } as DnsAnswer;

function nothingIfSilent(error: unknown): DnsAnswer {
  if (error instanceof NoAnswerError) return silence;
  throw error;
}

async function serverNames(zone: string, resolver: AskResolver): Promise<string[]> {
  const question = { name: zone, type: diagnosticTypes.NS };
  const answer = await resolver(question, { unchecked: true }).catch(nothingIfSilent);
  if (answer.outcome !== outcomes.none) return [];
  try {
    return readable("the resolver", () => targetsOf(answer, answersOf(answer, question)));
  } catch (error) {
    return noneIfSilent(error);
  }
}

async function levelOf(zone: string, world: DnsWorld, resolver: AskResolver): Promise<Level> {
  const names = zone === "" ? [] : await serverNames(zone, resolver);
  const addresses = await Promise.all(
    names.slice(0, limits.askedOfParent).map((name) => hostAddresses(name, resolver).catch(noneIfSilent)),
  );
  return names.length === 0 ? { zone: "", addresses: world.roots } : { zone, addresses: addresses.flat() };
}

function noneIfSilent(error: unknown): string[] {
  if (error instanceof NoAnswerError) return [];
  throw error;
}

type Way = Readonly<{
  world: DnsWorld;
  resolver: AskResolver;
  signal?: AbortSignal | undefined;
  depth: number;
}>;

type Bottom = Readonly<{
  zone: string;
  delegated: readonly string[];
  glue: ReadonlyMap<string, string[]>;
  parentAddresses: readonly string[];
  suspicious: boolean;
  /** The last server's answer about the name; undefined when none came. */
  answer?: DnsAnswer;
}>;

/** From one delegation to the next until a server has the name's zone itself, or none answers. */
async function goDown(name: string, start: Level, way: Way, type: number = dnsTypes.SOA): Promise<Bottom> {
  const question = { name, type };
  let level = start;
  let bottom: Bottom = {
    ...{ zone: start.zone, delegated: [], glue: new Map(), parentAddresses: [], suspicious: false },
  };
  for (let step = 0; step < limits.delegations; step++) {
    const { zone } = level;
    const found = await askAny(level.addresses, question, way, (answer) => ({
      answer,
      referral: answer.authoritative ? undefined : referralOf(answer, name, zone),
    }));
    if (found === undefined) return bottom;
    const { answer, referral } = found;
    if (referral === undefined) {
      return { ...bottom, suspicious: !answer.authoritative && answer.recursive, answer };
    }
    const addresses = await Promise.all(
      referral.names.map(async (host) => referral.glue.get(host) ?? (await addressesOf(host, way))),
    );
    bottom = {
      ...{ zone: referral.zone, delegated: referral.names, glue: referral.glue },
      ...{ parentAddresses: level.addresses, suspicious: false },
    };
    level = { zone: referral.zone, addresses: addresses.flat() };
  }
  return bottom;
}

/** The first answer that can be read of a few of the servers: they all have the same zone. Undefined when none answers. */
async function askAny<Content>(
  addresses: readonly string[],
  question: DnsQuestion,
  { world, signal }: Way,
  read: (answer: DnsAnswer) => Content,
): Promise<Content | undefined> {
  const asked = addresses.slice(0, limits.askedOfParent).map(async (address) => {
    const answer = await askServer({ address, port: world.port }, question, {}, signal);
    if (answer.outcome === outcomes.none || answer.outcome === outcomes.noSuchName) {
      return readable(address, () => read(answer));
    }
    throw new NoAnswerError(`${address} refuses`);
  });
  try {
    return await Promise.any(asked);
  } catch (error) {
    signal?.throwIfAborted();
    const unforeseen = (error as AggregateError).errors.find((each) => !(each instanceof NoAnswerError));
    if (unforeseen !== undefined) throw unforeseen;
    return undefined;
  }
}

/** The delegation in an answer: NS records of a zone further down towards the name (RFC 1034 §4.3.2, 3b). */
function referralOf(answer: DnsAnswer, name: string, zone: string): Referral | undefined {
  const [answers, authority, more] = answer.message.sections;
  if (answers.length > 0 || answer.outcome !== outcomes.none) return undefined;
  const records = authority.filter((record) => record.type === diagnosticTypes.NS);
  const [owner] = records.map((record) => record.name);
  const isBelow =
    owner !== undefined && owner.length > zone.length && (zone === "" || owner.endsWith(`.${zone}`));
  if (!isBelow || (owner !== name && !name.endsWith(`.${owner}`))) return undefined;
  const names = targetsOf(
    answer,
    records.filter((record) => record.name === owner),
  );
  const glue = new Map<string, string[]>();
  for (const record of more) {
    // Only addresses of the very servers: anything else was not asked for (RFC 2181 §5.4.1).
    if (record.class !== 1 || !names.includes(record.name)) continue;
    if (record.type !== dnsTypes.A && record.type !== dnsTypes.AAAA) continue;
    const data = readData(answer.bytes, record);
    if (data === undefined || !("address" in data)) continue;
    glue.set(record.name, [...(glue.get(record.name) ?? []), data.address]);
  }
  return { zone: owner, names: names.slice(0, limits.servers), glue };
}

/** By the resolver; where none answers, from the root. */
async function addressesOf(host: string, way: Way): Promise<string[]> {
  try {
    return await hostAddresses(host, way.resolver);
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
  }
  if (way.depth >= limits.hostDepth) return [];
  const deeper = { ...way, depth: way.depth + 1 };
  const root = { zone: "", addresses: way.world.roots };
  const { answer } = await goDown(host, root, deeper, dnsTypes.A);
  if (answer === undefined) return [];
  try {
    return readable(host, () =>
      answersOf(answer, { name: host, type: dnsTypes.A }).flatMap((record) => {
        const data = readData(answer.bytes, record);
        return data !== undefined && "address" in data ? [data.address] : [];
      }),
    );
  } catch (error) {
    return noneIfSilent(error);
  }
}
