/**
 * Whether DNSSEC lets the zone's records through (RFC 4035): the zone above says by DS records which keys sign, resolvers
 * that validate refuse everything else. Asks the zone above, the zone's own servers, and a resolver that validates, with
 * and without its check. Called by check.ts; I/O by the exchanges.
 */
import { createHash } from "node:crypto";
import { dnsTypes, nameBytes, type ResourceRecord } from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError } from "./exchange.ts";
import { answersOf, type DnsAnswer, type DnsQuestion, diagnosticTypes, outcomes } from "./message.ts";
import type { AskResolver } from "./resolver.ts";

export type DnssecState = Readonly<{
  /** "unknown": it is signed, and no resolver that validates could be asked. */
  state: "unsigned" | "valid" | "broken" | "unknown";
  /** How it is broken; empty otherwise. */
  reason: string;
  mend: string;
  /** The outside service was asked. */
  askedOutside: boolean;
}>;

type Broken = Pick<DnssecState, "reason" | "mend">;

export type DnssecWorld = Readonly<{
  port: number;
  /** Servers of the zone above, and of the zone. */
  parentAddresses: readonly string[];
  addresses: readonly string[];
  resolver: AskResolver;
  /** An outside service; asked only about a zone that is signed when the resolver does not validate. */
  outside: AskResolver;
  /** Seconds since 1970. */
  now: number;
}>;

/** Digests of DS records by their number, as far as they are in use (RFC 4509, RFC 6605). */
const digests: Readonly<Record<number, string>> = { 1: "sha1", 2: "sha256", 4: "sha384" };
/** RFC 4034 §3.1: where the times stand in the data of a signature. */
const EXPIRATION_AT = 8;
const INCEPTION_AT = 12;
/**
 * By these a resolver says that it is the check of signatures that failed: bogus, expired, not yet valid, without a key,
 * without signatures, without a key for zones, without a proof of absence (RFC 8914 §4.7–4.13).
 */
const BOGUS = { first: 6, last: 12 } as const;
/** A few servers of each zone are enough: all have the same. */
const MAX_ASKED = 3;

/** Never throws NoAnswerError: silence is "unknown". */
export async function dnssecOf(zone: string, world: DnssecWorld, signal?: AbortSignal): Promise<DnssecState> {
  const asked = (addresses: readonly string[], type: number) =>
    firstAnswer(addresses, { name: zone, type }, world.port, signal);
  const [ds, keys, soa, heard] = await Promise.all([
    asked(world.parentAddresses, diagnosticTypes.DS),
    asked(world.addresses, diagnosticTypes.DNSKEY),
    asked(world.addresses, dnsTypes.SOA),
    verdictOf(zone, world.resolver),
  ]);
  const records = ds === undefined ? undefined : answersOf(ds, { name: zone, type: diagnosticTypes.DS });
  // Nothing of an unsigned zone can fail to verify (RFC 4035 §5.2), unless something above it does, which resolvers name.
  if (records?.length === 0 && !(heard.state === "broken" && heard.isNamed)) {
    return { ...nothingKnown, state: "unsigned" };
  }
  if (records !== undefined && keys !== undefined && soa !== undefined) {
    const broken = brokenLink(zone, records, keys, soa, world.now);
    if (broken !== undefined) return { state: "broken", askedOutside: false, ...broken };
  }
  if (heard.state !== "unknown" || records === undefined) return stateOf(heard, false);
  return stateOf(await verdictOf(zone, world.outside), true);
}

function stateOf({ state, reason, mend }: Heard, askedOutside: boolean): DnssecState {
  return { state, reason, mend, askedOutside };
}

const nothingKnown = { state: "unknown", reason: "", mend: "", askedOutside: false } as const;

/** What is wrong between the zone above and the zone; undefined when the chain looks whole. */
function brokenLink(
  zone: string,
  ds: readonly ResourceRecord[],
  keysAnswer: DnsAnswer,
  soa: DnsAnswer,
  now: number,
): Broken | undefined {
  if (ds.length === 0) return undefined;
  const keys = answersOf(keysAnswer, { name: zone, type: diagnosticTypes.DNSKEY });
  const registrar = "at the registrar (where the domain was bought)";
  if (keys.length === 0) {
    return {
      reason: "the zone above says that the zone is signed (DS record), and it is not",
      mend: `Remove the DS record ${registrar}, or switch DNSSEC on at the DNS provider.`,
    };
  }
  const known = ds.filter(({ data }) => data.length > 4 && digests[data[3]!] !== undefined);
  const matches = known.some((each) => keys.some((key) => isDigestOf(each.data, zone, key.data)));
  if (known.length > 0 && !matches) {
    return {
      reason: "the DS record of the zone above belongs to none of the zone's keys",
      mend: `Replace the DS record ${registrar} by the one that the DNS provider shows, or remove it.`,
    };
  }
  return brokenTime(zone, soa, now);
}

function brokenTime(zone: string, soa: DnsAnswer, now: number): Broken | undefined {
  const signatures = answersOf(soa, { name: zone, type: diagnosticTypes.RRSIG });
  if (signatures.length === 0) {
    return {
      reason: "the zone above says that the zone is signed (DS record), and its records have no signatures",
      mend: "Ask the DNS provider to sign the zone again, or remove the DS record at the registrar.",
    };
  }
  const whole = signatures.filter(({ data }) => data.length > INCEPTION_AT + 4);
  if (whole.length > 0 && whole.every(({ data }) => data.readUInt32BE(EXPIRATION_AT) < now)) {
    const when = new Date(Math.max(...whole.map(({ data }) => data.readUInt32BE(EXPIRATION_AT))) * 1000);
    return {
      reason: `the signatures of the zone expired on ${when.toISOString().slice(0, 10)}`,
      mend: "Ask the DNS provider to sign the zone again (or start the signer, where the servers are your own).",
    };
  }
  return undefined;
}

/** RFC 4034 §5.1.4: the digest is over the name and the key's data. */
function isDigestOf(ds: Buffer, zone: string, key: Buffer): boolean {
  const hash = createHash(digests[ds[3]!]!);
  return hash.update(nameBytes(zone)).update(key).digest().equals(ds.subarray(4));
}

async function firstAnswer(
  addresses: readonly string[],
  question: DnsQuestion,
  port: number,
  signal: AbortSignal | undefined,
): Promise<DnsAnswer | undefined> {
  const asked = addresses.slice(0, MAX_ASKED).map(async (address) => {
    const answer = await askServer({ address, port }, question, { signatures: true }, signal);
    if (answer.outcome !== outcomes.none || !answer.authoritative)
      throw new NoAnswerError(`${address} does not know`);
    return answer;
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

/** `isNamed`: the resolver itself says that it is the signatures. */
type Heard = Pick<DnssecState, "state" | "reason" | "mend"> & Readonly<{ isNamed?: boolean }>;

/**
 * A resolver that validates says that something verified, or fails only while it checks. One failure is none yet: a name
 * server may just have been slow; so it counts when the resolver says why, or when it comes again.
 */
async function verdictOf(zone: string, ask: AskResolver): Promise<Heard> {
  try {
    const first = await failureOf(zone, ask);
    if (typeof first === "string") return { ...nothingKnown, state: first };
    const last = isBogus(first) ? first : await failureOf(zone, ask);
    if (typeof last === "string") return { ...nothingKnown, state: last };
    const isNamed = isBogus(last);
    // It says why, and it is something else: servers that do not answer, say (RFC 8914 §4.23); 0 is “other” (§4.1).
    if (!isNamed && last.explanations.some(({ code }) => code !== 0)) return nothingKnown;
    const words = last.explanations.map(({ text }) => text).filter((text) => text !== "");
    return {
      ...{ state: "broken", isNamed },
      reason: `resolvers that check signatures refuse the zone${words.length > 0 ? `: ${words.join("; ")}` : ""}`,
      mend: "Compare the DS record at the registrar with what the DNS provider shows, or remove it.",
    };
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
  }
  return nothingKnown;
}

/** The failure that comes only with the check. */
async function failureOf(zone: string, ask: AskResolver): Promise<"valid" | "unknown" | DnsAnswer> {
  const question = { name: zone, type: dnsTypes.SOA };
  const [checked, unchecked] = await Promise.all([
    ask(question, { signatures: true }),
    ask(question, { signatures: true, unchecked: true }),
  ]);
  if (checked.outcome === outcomes.none && checked.verified) return "valid";
  const isFailure = checked.outcome === outcomes.serverFailure && unchecked.outcome === outcomes.none;
  return isFailure ? checked : "unknown";
}

function isBogus({ explanations }: DnsAnswer): boolean {
  return explanations.some(({ code }) => code >= BOGUS.first && code <= BOGUS.last);
}
