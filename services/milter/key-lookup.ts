/**
 * Looks up the DKIM keys of others, so that strangers cannot make this relay flood the DNS, nor keep it from asking
 * for the keys of others: answers are kept for a while, equal questions wait for one answer, and every limit counts
 * the network that the client comes from. Resolver and clock are passed in. Called by dkim-verify.ts.
 */
import { type DkimRecord, findDkimKey } from "../../appliance/dns/dkim-record.ts";
import { networkOf } from "../lib/network.ts";
import { createFairCache } from "./fair-cache.ts";
import { createRateLimit } from "./rate-limit.ts";

/** Answers with the TXT records of a name as lists of their strings; rejects with the codes of node:dns. */
export type TxtResolver = (name: string) => Promise<string[][]>;

/** "none": there is no usable key, and will be none soon. "unavailable": nobody could say just now. */
export type KeyAnswer =
  | Readonly<{ kind: "key"; record: DkimRecord }>
  | Readonly<{ kind: "none"; detail: string }>
  | Readonly<{ kind: "unavailable"; detail: string }>;

/**
 * Never rejects.
 * @param clientAddress of the client whose message asks for the key; null when nobody knows it
 */
export type KeyLookup = (
  selector: string,
  domain: string,
  clientAddress: string | null,
) => Promise<KeyAnswer>;

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
  /**
   * Names with a key that are kept, of about 1 kB each, and names without. Apart, since anybody can make up names
   * without a key; and whoever has most of either loses first (fair-cache.ts).
   */
  entries: { withKey: 2000, withoutKey: 1000 },
  /**
   * Questions under way at once. The device's resolver takes 2048 and has other work too. More than port 25 can
   * have, whose 100 processes (appliance/files/postfix-main.ts) wait for at most four answers each.
   */
  concurrent: 512,
  /**
   * Of these, questions for one client network (IPv4 address, IPv6 /64). Postfix lets it hold 50 connections, which
   * need not all be at the end of a message with an unknown key at the same moment.
   */
  concurrentPerNetwork: 32,
  /** Of these, kept for networks that have no question under way: a first message gets through in any flood. */
  reserved: 128,
  /**
   * Names of one domain that one client network may make us ask for without their having had a key lately: a burst,
   * and so many a minute. A relay or provider signs with one to three; whoever makes up selectors is told to come
   * again. By network, since otherwise a stranger's made-up selectors would keep out the real one.
   */
  unknownNames: { burst: 10, perMinute: 10 },
} as const;

type Entry = Readonly<{ answer: KeyAnswer; expires: number }>;

/** RFC 1035 §2.3.4, without the final dot. */
const MAX_NAME_LENGTH = 253;

export function createKeyLookup({ resolveTxt, now }: KeyLookupOptions): KeyLookup {
  /** Names that had a key when somebody last could say. */
  const withKey = createFairCache<Entry>(lookupLimits.entries.withKey);
  const withoutKey = createFairCache<Entry>(lookupLimits.entries.withoutKey);
  const underWay = new Map<string, Promise<KeyAnswer>>();
  /** How many of these are each network's. */
  const asking = new Map<string, number>();
  const unknownNames = createRateLimit(lookupLimits.unknownNames);

  const count = (network: string, change: 1 | -1): void => {
    const questions = (asking.get(network) ?? 0) + change;
    if (questions > 0) asking.set(network, questions);
    else asking.delete(network);
  };

  const ask = async (name: string, network: string): Promise<KeyAnswer> => {
    const answer = await askDns(name, resolveTxt);
    const entry = { answer, expires: now() + lookupLimits.keptMs[answer.kind] };
    const hadKey = answer.kind === "unavailable" && withKey.get(name) !== undefined;
    const [cache, other] = answer.kind === "key" || hadKey ? [withKey, withoutKey] : [withoutKey, withKey];
    cache.set(name, network, entry);
    other.delete(name);
    return answer;
  };

  return async (selector, domain, clientAddress) => {
    const name = `${selector}._domainkey.${domain}`;
    if (name.length > MAX_NAME_LENGTH) return { kind: "none", detail: "the key's name is too long" };
    const known = withKey.get(name);
    const entry = known ?? withoutKey.get(name);
    if (entry !== undefined && entry.expires > now()) return entry.answer;
    const running = underWay.get(name);
    if (running !== undefined) return running;
    const network = networkOf(clientAddress ?? "", 64);
    const own = asking.get(network) ?? 0;
    if (own >= lookupLimits.concurrentPerNetwork) return busy(`too many DNS questions for ${network}`);
    const places = lookupLimits.concurrent - (own > 0 ? lookupLimits.reserved : 0);
    if (underWay.size >= places) return busy("too many DNS questions under way");
    if (known === undefined && !unknownNames.take(`${network} ${domain}`, now())) {
      return busy(`too many unknown selectors of ${domain} from ${network}`);
    }
    count(network, 1);
    const question = ask(name, network).finally(() => {
      underWay.delete(name);
      count(network, -1);
    });
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
