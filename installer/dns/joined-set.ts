/**
 * A set as it shall be: the relay's values, and what is foreign in it. Other texts and other authorities stay; an SPF record
 * lets those go on sending who may, a DMARC record keeps to whom reports go. Pure; called by plan.ts.
 */
import {
  type RecordSet,
  RecordTextError,
  recordSets,
  txtText,
  txtValue,
} from "../../appliance/dns/record-set.ts";
import { parseTagList } from "../../appliance/dns/tag-list.ts";
import { parseIssuer } from "./judge-authorities.ts";
import { dataOf } from "./readable-value.ts";
import type { Wanted } from "./wanted.ts";

/** The set as it shall be: ours, and what is foreign in it. */
export function joinedSet({ name, type, records }: Wanted, before: RecordSet | null): RecordSet {
  const [ours] = recordSets(records);
  if (ours === undefined) throw new Error(`nothing is wanted of ${name} ${type}`);
  if (before === null) return ours;
  if (type === "TXT") {
    const [wish = ""] = ours.values;
    const same = before.values.filter((value) => isSameKind(value, wish));
    const join = joins.find(([pattern]) => pattern.test(txtText(wish)))?.[1];
    const value = join === undefined || same.length === 0 ? wish : join(same.map(textOf), wish);
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

const joins: readonly (readonly [RegExp, (texts: readonly string[], wish: string) => string])[] = [
  [/^v=spf1 /i, joinedSpf],
  [/^v=dmarc1\b/i, joinedDmarc],
];

/**
 * One DMARC record (RFC 7489 §6.3) with the relay's policy and all that it says nothing of: who gets reports, which, how
 * often, what holds below the domain. Of two records, which would be none (§6.6.3), the first counts, tag by tag. What is
 * no list of tags goes: receivers make nothing of it.
 */
function joinedDmarc(texts: readonly string[], wish: string): string {
  const wished = parseTagList(txtText(wish));
  if (typeof wished === "string") throw new Error(`the wanted text ${wish} is no tag list`);
  const tags = new Map(wished);
  for (const text of texts) {
    const found = parseTagList(text);
    if (typeof found === "string") continue;
    for (const [name, value] of found) if (!tags.has(name.toLowerCase())) tags.set(name.toLowerCase(), value);
  }
  return txtValue([...tags].map(([name, value]) => `${name}=${value}`).join(";"));
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
