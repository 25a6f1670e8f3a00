/**
 * What has to change in a zone so that it holds the relay's records: sets to make or to change, and what stands in the
 * way. What is right already stays as it is, and so does everything foreign: other texts at a name, other authorities.
 * Nothing is ever removed but by a set of ours taking its place. Pure; called by apply.ts, the command and the wizard.
 */
import type { ProviderDescription } from "../../appliance/dns/provider.ts";
import {
  presentation,
  type RecordSet,
  RecordTextError,
  recordData,
  recordSets,
  sameValues,
  tidyValue,
  txtText,
  txtValue,
} from "../../appliance/dns/record-set.ts";
import type { RecordData } from "../../appliance/dns/records.ts";
import { judge } from "./judge.ts";
import { parseIssuer } from "./judge-authorities.ts";
import { printableAll } from "./printable.ts";
import type { Lookups, Verdict } from "./verdict.ts";
import { type Lookup, lookupKey, type RelayQuestion } from "./views.ts";
import { type DesiredDns, questionsFor, type Wanted, wantedOf } from "./wanted.ts";

export type PlannedChange = Readonly<{
  /** Null when there is no such set yet. */
  before: RecordSet | null;
  after: RecordSet;
}>;

/** Why a set cannot be written without touching what is somebody else's. */
export type PlanObstacle = RelayQuestion & Readonly<{ reason: string; mend: string }>;

export type DnsPlan = Readonly<{
  zone: string;
  changes: readonly PlannedChange[];
  /** Sets that are right as they are. */
  unchanged: readonly RelayQuestion[];
  /** With any of them nothing may be changed. */
  obstacles: readonly PlanObstacle[];
  /** Worth knowing; each a sentence. */
  notes: readonly string[];
}>;

/** Types that a zone's signer puts beside any other (RFC 4034 §2.2, §4.1.1), also beside an alias. */
const besideAliases = ["CNAME", "RRSIG", "NSEC", "NSEC3"];

/** Records of these types say where a web site is, which browsers find no more when they change. */
const leadsToServers: readonly string[] = ["A", "AAAA", "CNAME"];

/** What the provider can keep: a least TTL in seconds, and what it makes of a set that it cannot keep as it is. */
export type PlanLimits = Pick<ProviderDescription, "approximate"> & Readonly<{ minTtl?: number }>;

/** `current`: the sets of the zone. */
export function planChanges(
  desired: DesiredDns,
  zone: string,
  current: readonly RecordSet[],
  { minTtl = 0, approximate = (set) => set }: PlanLimits = {},
): DnsPlan {
  const { domain } = desired;
  const sets = new Map(current.map((set) => [lookupKey(set as RelayQuestion), set]));
  const wanted = wantedOf(desired);
  const lookups = lookupsOf(questionsFor(wanted, domain, zone, "nobody"), sets);
  const addresses = desired.records.flatMap((record) =>
    record.name === domain && "address" in record ? [presentation(record)] : [],
  );
  const changes: PlannedChange[] = [];
  const unchanged: RelayQuestion[] = [];
  const obstacles: PlanObstacle[] = [];
  const notes: string[] = [];
  for (const each of wanted) {
    const { name, type } = each;
    const verdict = judge(each, lookups, { domain, zone, addresses, nobodies: [] });
    const obstacle = obstacleFor(each, verdict, current);
    if (obstacle !== undefined) obstacles.push({ name, type, ...obstacle });
    else if (verdict.state === "ok") {
      unchanged.push({ name, type });
      if (verdict.warning === true) notes.push(`${name} ${type}: ${verdict.reason}. ${verdict.mend}`);
    } else {
      const before = sets.get(lookupKey(each)) ?? null;
      const after = approximate(afterOf(each, before));
      const ttl = Math.max(after.ttl, minTtl);
      // What the provider cannot keep better is right as it is.
      if (before !== null && sameValues(before, after)) unchanged.push({ name, type });
      else if (after.values.length === 0) {
        notes.push(`${name} ${type} cannot be kept by this provider; the relay works without it.`);
      } else {
        changes.push({ before, after: { ...after, ttl } });
        if (before !== null && leadsToServers.includes(type)) {
          const now = before.values.join(", ");
          notes.push(`${name} ${type} leads to ${now} now: a web site there will not be found any more.`);
        }
      }
    }
  }
  const stray = (["A", "AAAA"] as const).filter(
    (type) =>
      sets.has(`${domain} ${type}`) &&
      addresses.length > 0 &&
      !wanted.some((one) => one.name === domain && one.type === type),
  );
  for (const type of stray) {
    notes.push(
      `${domain} ${type} stays (${sets.get(`${domain} ${type}`)!.values.join(", ")}): remove it if it is not the relay's, for clients may go there.`,
    );
  }
  const wildcard = current.find(({ name }) => name.startsWith("*."));
  if (wildcard !== undefined)
    notes.push(`${wildcard.name} ${wildcard.type} stays; the relay does not need it.`);
  // Obstacles and notes quote the zone, and are for people; the changes are written as they are.
  return { zone, changes, unchanged, obstacles: printableAll(obstacles), notes: printableAll(notes) };
}

/** What stands in the way of a set; undefined when nothing does. */
function obstacleFor(
  wanted: Wanted,
  { state, reason, mend }: Verdict,
  current: readonly RecordSet[],
): Pick<PlanObstacle, "reason" | "mend"> | undefined {
  if (state === "ok") return undefined;
  const { name, type, records } = wanted;
  if (records.length === 0) {
    return type === "TXT"
      ? {
          reason: "the relay's DKIM key is not known",
          mend: "Name the relay's folder instead of its domain.",
        }
      : {
          reason: reason || "no address of the relay is known",
          mend: "Name the relay's public address by --address.",
        };
  }
  // Authorities are joined, everything else that conflicts belongs to somebody else.
  if (state === "conflicts" && type !== "CAA") return { reason, mend };
  if (type !== "CNAME") return undefined;
  const beside = current.filter((set) => set.name === name && !besideAliases.includes(set.type));
  if (beside.length === 0) return undefined;
  const types = beside.map((set) => set.type).join(", ");
  return {
    reason: `${name} has records (${types}) beside which no alias can be`,
    mend: `Remove the records ${types} at ${name}.`,
  };
}

/** The set as it shall be: ours, and what is foreign in it. */
function afterOf({ name, type, records }: Wanted, before: RecordSet | null): RecordSet {
  const [ours] = recordSets(records);
  if (ours === undefined) throw new Error(`nothing is wanted of ${name} ${type}`);
  if (before === null) return ours;
  if (type === "TXT") {
    const [wish = ""] = ours.values;
    const same = before.values.filter((value) => isSameKind(value, wish));
    const value = /^v=spf1 /i.test(txtText(wish)) && same.length > 0 ? joinedSpf(same.map(textOf)) : wish;
    const foreign = before.values.filter((each) => !isSameKind(each, wish));
    return foreign.length === 0
      ? { ...ours, values: [value] }
      : { ...ours, ttl: before.ttl, values: [...foreign, value] };
  }
  if (type === "CAA") {
    const authorities = ours.values.map(authorityOf);
    const foreign = before.values.filter((value) => !authorities.includes(authorityOf(value)));
    return foreign.length === 0 ? ours : { ...ours, ttl: before.ttl, values: [...foreign, ...ours.values] };
  }
  return ours;
}

/** Whether two texts are of the same kind, so that only one may be there: by how each kind begins. */
function isSameKind(value: string, wish: string): boolean {
  const kinds = [/^v=spf1(?: |$)/i, /^v=dmarc1\b/i, /^v=stsv1\b/i, /^dkim=/i, /(?:^|;)\s*p\s*=/];
  const kind = kinds.find((pattern) => pattern.test(txtText(wish)));
  return kind?.test(textOf(value)) ?? false;
}

/**
 * One SPF record (RFC 7208) that lets the relay send and all whom the records here let send; two of them, as a change that
 * was cut off may leave them, would be an error (§4.5).
 */
function joinedSpf(texts: readonly string[]): string {
  const records = texts.map((text) => text.trim().split(/ +/).slice(1));
  const terms = records.flatMap((record) => {
    // Where "all" stands, "redirect" has no meaning (§6.1); else its record decides, as that of an "include" does.
    const hasAll = record.some(isAll);
    return record.flatMap((term) => {
      const target = /^redirect=(.+)$/i.exec(term)?.[1];
      if (target === undefined) return [term];
      return hasAll ? [] : [`include:${target}`];
    });
  });
  const all = terms.findLast(isAll) ?? "~all";
  const others = [...new Set(terms.filter((term) => !isAll(term) && !/^\+?a$/i.test(term)))];
  const [only = ""] = texts;
  if (texts.length === 1 && terms.includes("a") && terms.includes(all) && !/ redirect=/i.test(only)) {
    return txtValue(only.trim());
  }
  const mechanisms = others.filter((term) => !isModifier(term));
  return txtValue(["v=spf1", "a", ...mechanisms, all, ...others.filter(isModifier)].join(" "));
}

/** The last mechanism (RFC 7208 §5.1): who matched nothing before. */
function isAll(term: string): boolean {
  return /^[+?~-]?all$/i.test(term);
}

/** "exp=…" and what came after RFC 7208: a name and "=" (§4.6.1). */
function isModifier(term: string): boolean {
  return /^[a-z][a-z0-9._-]*=/i.test(term);
}

function textOf(value: string): string {
  try {
    return txtText(value);
  } catch (error) {
    if (error instanceof RecordTextError) return value;
    throw error;
  }
}

/** The authority of an "issue" property; other properties are their own kind. */
function authorityOf(value: string): string {
  const data = dataOf("CAA", value);
  return data?.type === "CAA" && data.tag === "issue" ? parseIssuer(data.value).authority : value;
}

/** What the zone would answer. */
function lookupsOf(questions: readonly RelayQuestion[], sets: ReadonlyMap<string, RecordSet>): Lookups {
  return new Map(
    questions.map((question): [string, Lookup] => {
      const key = lookupKey(question);
      const values = (sets.get(key)?.values ?? []).flatMap((value) => dataOf(question.type, value) ?? []);
      if (values.length > 0) return [key, { kind: "values", values }];
      const [target] = sets.get(`${question.name} CNAME`)?.values ?? [];
      if (target === undefined || question.type === "CNAME") return [key, { kind: "none" }];
      return [key, { kind: "alias", target: target.replace(/\.$/, ""), values: [] }];
    }),
  );
}

/** Undefined for a value that is none of its type, as providers let people enter. */
function dataOf(type: string, value: string): RecordData | undefined {
  try {
    return recordData(type, tidyValue(type, value));
  } catch (error) {
    if (error instanceof RecordTextError) return undefined;
    throw error;
  }
}
