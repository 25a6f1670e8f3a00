/**
 * What each name server of a zone says to a list of questions: one view for each address, all at the same time. Called
 * by check.ts; judge.ts and findings.ts compare the views. I/O by the exchanges.
 */

import type { RecordData } from "../../appliance/dns/records.ts";
import {
  DnsFormatError,
  dnsTypes,
  type ResourceRecord,
  readData,
  readName,
} from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError } from "./exchange.ts";
import {
  answersOf,
  type DnsAnswer,
  type DnsQuestion,
  diagnosticTypes,
  outcomes,
  type QuestionOptions,
  serialOf,
  targetsOf,
} from "./message.ts";
import type { AskResolver } from "./resolver.ts";

/** What a server has for a name and type. */
export type Lookup =
  | Readonly<{ kind: "values"; values: readonly RecordData[] }>
  /** No such name, or nothing of this type. */
  | Readonly<{ kind: "none" }>
  /** The name leads to another one; `values`: what is there by the resolver's word, if anything. */
  | Readonly<{ kind: "alias"; target: string; values: readonly RecordData[] }>
  | Readonly<{ kind: "failed"; reason: string }>;

export type RelayQuestion = Readonly<{ name: string; type: RecordData["type"] }>;

export type View = Readonly<{
  /** The host name of the server, or how else it was asked. */
  server: string;
  /** Empty when the host has none. */
  address: string;
  /**
   * "answers": it has the zone; "lame": it answers, but does not have the zone (RFC 1912 §2.8); "silent": nothing came;
   * "unreachable": this computer has no way to an address of that kind.
   */
  state: "answers" | "lame" | "silent" | "unreachable";
  /** What went wrong, for people. */
  reason: string;
  /** The version of the zone; null when it was not told. */
  serial: number | null;
  /** The zone's name servers as this one tells them. */
  nameServers: readonly string[];
  lookups: ReadonlyMap<string, Lookup>;
}>;

export const lookupKey = ({ name, type }: RelayQuestion): string => `${name} ${type}`;

/** Questions under way to one server: below what servers take for an attack (rate limits begin at 10 to 20 a second). */
const QUESTIONS_AT_ONCE = 12;

type Ask = (question: DnsQuestion, options?: QuestionOptions) => Promise<DnsAnswer>;

/** The view of the server at an address. `resolver` follows aliases. Throws the signal's reason. */
export async function viewOfServer(
  server: Readonly<{ name: string; address: string; port: number }>,
  zone: string,
  questions: readonly RelayQuestion[],
  resolver: AskResolver,
  signal?: AbortSignal,
): Promise<View> {
  const { address, port } = server;
  const ask: Ask = (question, options) => askServer({ address, port }, question, options, signal);
  const nothing = { server: server.name, address, serial: null, nameServers: [], lookups: new Map() };
  const first = await orReason(ask({ name: zone, type: dnsTypes.SOA }));
  if (first instanceof NoAnswerError) {
    signal?.throwIfAborted();
    return { ...nothing, state: hasNoWay(first) ? "unreachable" : "silent", reason: first.message };
  }
  const [soa] = answersOf(first, { name: zone, type: dnsTypes.SOA });
  if (first.outcome !== outcomes.none || !first.authoritative || soa === undefined) {
    return { ...nothing, state: "lame", reason: lameReason(first) };
  }
  const [lookups, nameServers] = await Promise.all([
    lookUpAll(questions, ask, resolver),
    orReason(ask({ name: zone, type: diagnosticTypes.NS })),
  ]);
  try {
    const names = nameServers instanceof NoAnswerError ? [] : hostsOf(nameServers, zone);
    const serial = serialOf(first, soa);
    return { ...nothing, state: "answers", reason: "", serial, nameServers: names, lookups };
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error;
    return { ...nothing, state: "lame", reason: `answers with ${error.message}` };
  }
}

/** The view of resolvers, where the servers themselves cannot be asked. */
export async function viewOfResolver(
  name: string,
  zone: string,
  questions: readonly RelayQuestion[],
  resolver: AskResolver,
): Promise<View> {
  const ask: Ask = (question) => resolver(question, { unchecked: true });
  const nothing = { server: name, address: "", serial: null, nameServers: [], lookups: new Map() };
  const first = await orReason(ask({ name: zone, type: dnsTypes.SOA }));
  if (first instanceof NoAnswerError) return { ...nothing, state: "silent", reason: first.message };
  return { ...nothing, state: "answers", reason: "", lookups: await lookUpAll(questions, ask, resolver) };
}

function hostsOf(answer: DnsAnswer, zone: string): string[] {
  return targetsOf(answer, answersOf(answer, { name: zone, type: diagnosticTypes.NS })).sort();
}

async function orReason(asked: Promise<DnsAnswer>): Promise<DnsAnswer | NoAnswerError> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof NoAnswerError) return error;
    throw error;
  }
}

function hasNoWay(error: NoAnswerError): boolean {
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  return ["ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(code);
}

function lameReason(answer: DnsAnswer): string {
  if (answer.outcome === outcomes.refused) return "refuses to answer for the zone";
  if (answer.outcome === outcomes.serverFailure) return "has a trouble with the zone (SERVFAIL)";
  if (answer.outcome === outcomes.noSuchName) return "says that there is no such zone";
  if (answer.outcome !== outcomes.none) return `answers with error ${answer.outcome}`;
  return answer.authoritative ? "does not have the zone" : "answers, but not as one that has the zone";
}

async function lookUpAll(
  questions: readonly RelayQuestion[],
  ask: Ask,
  resolver: AskResolver,
): Promise<Map<string, Lookup>> {
  const lookups = new Map<string, Lookup>();
  const rest = questions.values();
  const work = async () => {
    for (const question of rest) lookups.set(lookupKey(question), await lookUp(question, ask, resolver));
  };
  await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, work));
  return lookups;
}

async function lookUp({ name, type }: RelayQuestion, ask: Ask, resolver: AskResolver): Promise<Lookup> {
  const question = { name, type: dnsTypes[type] };
  const answer = await orReason(ask(question));
  if (answer instanceof NoAnswerError) return { kind: "failed", reason: answer.message };
  if (answer.outcome === outcomes.noSuchName && answer.message.sections[0].length === 0)
    return { kind: "none" };
  if (answer.outcome !== outcomes.none && answer.outcome !== outcomes.noSuchName) {
    return { kind: "failed", reason: `error ${answer.outcome}${wordsOf(answer)}` };
  }
  try {
    const values = valuesOf(answer, answersOf(answer, question));
    if (values.length > 0) return { kind: "values", values };
    if (type !== "CNAME") {
      const [alias] = answersOf(answer, { name, type: dnsTypes.CNAME });
      if (alias !== undefined)
        return await follow(readName(answer.bytes, alias.dataStart).name, question, resolver);
    }
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error;
    return { kind: "failed", reason: error.message };
  }
  return { kind: "none" };
}

async function follow(target: string, { type }: DnsQuestion, resolver: AskResolver): Promise<Lookup> {
  const question = { name: target, type };
  const answer = await orReason(resolver(question, { unchecked: true }));
  if (answer instanceof NoAnswerError) return { kind: "alias", target, values: [] };
  return {
    kind: "alias",
    target,
    values: valuesOf(
      answer,
      answer.message.sections[0].filter((record) => record.type === type),
    ),
  };
}

function valuesOf({ bytes }: DnsAnswer, records: readonly ResourceRecord[]): RecordData[] {
  return records.flatMap((record) => readData(bytes, record) ?? []);
}

function wordsOf({ explanations }: DnsAnswer): string {
  return explanations.map(({ text }) => (text === "" ? "" : `: ${text}`)).join("");
}
