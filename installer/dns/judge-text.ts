/**
 * Whether TXT records say what the relay needs: DKIM keys (RFC 6376 §3.6.1), SPF (RFC 7208), DMARC (RFC 7489 §6.3) and
 * MTA-STS (RFC 8461 §3.1), each by its own rules. Pure; called by judge.ts.
 */
import { findDkimKey } from "../../appliance/dns/dkim-record.ts";
import { parseTagList } from "../../appliance/dns/tag-list.ts";
import { addThem, aliasConflict, fine, type Judged, replaceBy, type Verdict, valuesOf } from "./verdict.ts";
import type { Lookup } from "./views.ts";
import type { Wanted } from "./wanted.ts";

type Texts = readonly string[];
type Judge = (wanted: Wanted, texts: Texts, wish: string, judged: Judged) => Verdict;

export function judgeText(wanted: Wanted, lookup: Lookup, judged: Judged): Verdict {
  const texts = valuesOf(lookup).flatMap((value) => (value.type === "TXT" ? [value.text] : []));
  // An alias to where the right text is does as well (keys are often kept so).
  if (lookup.kind === "alias" && texts.length === 0) return aliasConflict(wanted, lookup.target);
  const [record] = wanted.records;
  const wish = record?.type === "TXT" ? record.text : "v=DKIM1";
  const judgeIt = judges.find(([pattern]) => pattern.test(wish))?.[1] ?? judgeWhole;
  return judgeIt(wanted, texts, wish, judged);
}

const judges: readonly (readonly [RegExp, Judge])[] = [
  [/^v=DKIM1\b/, judgeKey],
  [/^v=spf1\b/, judgeSenders],
  [/^v=STSv1\b/, judgePolicyId],
  [/^(?:v=DMARC1|dkim=)/, judgeTags],
];

function judgeKey(wanted: Wanted, texts: Texts, wish: string): Verdict {
  if (texts.length === 0) return missing(wanted);
  const found = findDkimKey(texts.map((text) => [text]));
  if ("problem" in found) {
    const state = found.problem === "no key record" ? "missing" : "differs";
    return { state, reason: found.problem, mend: replaceBy(wanted) };
  }
  const own = findDkimKey([[wish]]);
  if ("key" in own && !own.key.equals(found.key)) {
    return { state: "differs", reason: "another key than the relay's", mend: replaceBy(wanted) };
  }
  if (found.testing) {
    return { state: "differs", reason: "t=y: receivers take its mail as unsigned", mend: replaceBy(wanted) };
  }
  return fine;
}

/** The terms that may let the relay send; what comes after “all” counts for nothing (RFC 7208 §5.1). */
function judgeSenders(wanted: Wanted, texts: Texts, _wish: string, { domain, addresses }: Judged): Verdict {
  const found = texts.filter((text) => /^v=spf1(?: |$)/i.test(text));
  const [text] = found;
  if (text === undefined) return missing(wanted);
  if (found.length > 1) {
    return {
      state: "differs",
      reason: "there are two SPF records, so none counts (RFC 7208 §4.5)",
      mend: `Join the SPF records at ${wanted.name} into one.`,
    };
  }
  const terms = text.toLowerCase().trim().split(/\s+/).slice(1);
  const end = terms.findIndex((term) => /^[+?~-]?all$/.test(term));
  const before = new Set((end < 0 ? terms : terms.slice(0, end)).map((term) => term.replace(/^\+/, "")));
  const byName = ["a", "mx", `a:${domain}`, `mx:${domain}`].some((term) => before.has(term));
  const byAddress =
    addresses.length > 0 &&
    addresses.every((address) => before.has(`${address.includes(":") ? "ip6" : "ip4"}:${address}`));
  if (!byName && !byAddress) {
    return {
      state: "differs",
      reason: `“${shortened(text)}” does not let the relay send`,
      mend: `Put “a” behind v=spf1 in the SPF record at ${wanted.name}.`,
    };
  }
  if (end >= 0 && /^[~-]/.test(terms[end]!)) return fine;
  if (terms.some((term) => term.startsWith("redirect="))) return fine;
  return {
    state: "differs",
    reason: `“${shortened(text)}” lets everybody send`,
    mend: `Let the SPF record at ${wanted.name} end with ~all.`,
  };
}

/** Any id will do: it only has to change when the policy does (RFC 8461 §3.1). */
function judgePolicyId(wanted: Wanted, texts: Texts): Verdict {
  const found = texts.filter((text) => /^v=STSv1\s*(?:;|$)/.test(text));
  const [text] = found;
  if (text === undefined) return missing(wanted);
  const tags = parseTagList(text);
  const id = typeof tags === "string" ? "" : (tags.get("id") ?? "");
  if (found.length === 1 && /^[A-Za-z0-9]{1,32}$/.test(id)) return fine;
  return { state: "differs", reason: "senders cannot read it", mend: replaceBy(wanted) };
}

/** Each wanted tag is there with its value; others may be too (reports, say). */
function judgeTags(wanted: Wanted, texts: Texts, wish: string): Verdict {
  const wished = parseTagList(wish);
  if (typeof wished === "string") throw new Error(`the wanted text ${wish} is no tag list`);
  const [[mark = "", markValue = ""] = []] = wished;
  const found = texts.filter((text) => {
    const tags = parseTagList(text);
    return typeof tags !== "string" && tags.get(mark)?.toLowerCase() === markValue.toLowerCase();
  });
  const sameMark = mark === "v" ? found : texts;
  const [text] = sameMark;
  if (text === undefined) return missing(wanted);
  if (sameMark.length > 1) {
    return { state: "differs", reason: "there are two of them, so none counts", mend: replaceBy(wanted) };
  }
  const tags = parseTagList(text);
  const isThere =
    typeof tags !== "string" &&
    [...wished].every(([name, value]) => tags.get(name)?.toLowerCase() === value.toLowerCase());
  if (isThere) return fine;
  return { state: "differs", reason: `says “${shortened(text)}”`, mend: replaceBy(wanted) };
}

function judgeWhole(wanted: Wanted, texts: Texts, wish: string): Verdict {
  return texts.includes(wish) ? fine : missing(wanted);
}

function missing(wanted: Wanted): Verdict {
  const mend =
    wanted.records.length === 0
      ? `Add the relay's DKIM key, which ./homing dns zone FOLDER prints.`
      : addThem(wanted);
  return { state: "missing", reason: "", mend };
}

/** Foreign texts may be long, and hold anything. */
function shortened(text: string): string {
  const printable = text.replaceAll(/[^ -~]/g, "?");
  return printable.length <= 60 ? printable : `${printable.slice(0, 59)}…`;
}
