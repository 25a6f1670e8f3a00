/**
 * Looks up the DKIM keys of others, so that strangers cannot make this relay flood the DNS: answers are kept for a
 * while, equal questions wait for one answer, and what a domain may make us ask for is limited. Resolver and clock
 * are passed in. Called by dkim-verify.ts.
 */
import { type DkimRecord, findDkimKey } from "../../appliance/dns/dkim-record.ts";
import { createRateLimit } from "./rate-limit.ts";

/** Answers with the TXT records of a name as lists of their strings; rejects with the codes of node:dns. */
export type TxtResolver = (name: string) => Promise<string[][]>;

/** "none": there is no usable key, and will be none soon. "unavailable": nobody could say just now. */
export type KeyAnswer =
  | Readonly<{ kind: "key"; record: DkimRecord }>
  | Readonly<{ kind: "none"; detail: string }>
  | Readonly<{ kind: "unavailable"; detail: string }>;

export type KeyLookup = (selector: string, domain: string) => Promise<KeyAnswer>;

export type KeyLookupOptions = Readonly<{
  resolveTxt: TxtResolver;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
}>;

export const lookupLimits = {
  /**
   * How long an answer is taken for true, in milliseconds. Short beside the hour that records usually last: the
   * resolver on the device keeps to their own time, and a key that was withdrawn stops counting soon.
   */
  keptMs: { key: 60_000, none: 60_000, unavailable: 5000 },
  /** Answers kept, of about 1 kB each; the one not used for longest goes first. */
  entries: 2000,
  /** Questions under way at once. The device's resolver takes 2048 and has other work too. */
  concurrent: 64,
  /**
   * Names of one domain that may be asked for without having had a key lately: a burst, and so many a minute. A
   * relay or provider signs with one to three; whoever makes up selectors is told to come again.
   */
  unknownNames: { burst: 10, perMinute: 10 },
} as const;

type Entry = { answer: KeyAnswer; expires: number; hadKey: boolean };

/** RFC 1035 §2.3.4, without the final dot. */
const MAX_NAME_LENGTH = 253;

export function createKeyLookup({ resolveTxt, now }: KeyLookupOptions): KeyLookup {
  /** In the order of their last use. */
  const entries = new Map<string, Entry>();
  const underWay = new Map<string, Promise<KeyAnswer>>();
  const unknownNames = createRateLimit(lookupLimits.unknownNames);

  const keep = (name: string, answer: KeyAnswer, hadKey: boolean): void => {
    entries.delete(name);
    entries.set(name, { answer, hadKey, expires: now() + lookupLimits.keptMs[answer.kind] });
    if (entries.size > lookupLimits.entries) entries.delete(entries.keys().next().value!);
  };

  const ask = async (name: string, hadKey: boolean): Promise<KeyAnswer> => {
    const answer = await askDns(name, resolveTxt);
    keep(name, answer, answer.kind === "key" || (hadKey && answer.kind === "unavailable"));
    return answer;
  };

  return async (selector, domain) => {
    const name = `${selector}._domainkey.${domain}`;
    if (name.length > MAX_NAME_LENGTH) return { kind: "none", detail: "the key's name is too long" };
    const entry = entries.get(name);
    if (entry !== undefined && entry.expires > now()) {
      entries.delete(name);
      entries.set(name, entry);
      return entry.answer;
    }
    const running = underWay.get(name);
    if (running !== undefined) return running;
    const hadKey = entry?.hadKey ?? false;
    if (underWay.size >= lookupLimits.concurrent) return busy("too many DNS questions under way");
    if (!hadKey && !unknownNames.take(domain, now())) return busy(`too many unknown selectors of ${domain}`);
    const question = ask(name, hadKey).finally(() => underWay.delete(name));
    underWay.set(name, question);
    return question;
  };
}

function busy(detail: string): KeyAnswer {
  return { kind: "unavailable", detail };
}

/** Codes of node:dns that mean: no such record. A name that is none cannot be looked up later either. */
const noSuchRecord = new Set(["ENOTFOUND", "ENODATA", "EBADNAME"]);

async function askDns(name: string, resolveTxt: TxtResolver): Promise<KeyAnswer> {
  let records: string[][];
  try {
    records = await resolveTxt(name);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (noSuchRecord.has(code)) return { kind: "none", detail: "no key record" };
    return { kind: "unavailable", detail: `DNS: ${code}` };
  }
  const found = findDkimKey(records);
  return "problem" in found ? { kind: "none", detail: found.problem } : { kind: "key", record: found };
}
