/**
 * Whether the authority may issue the relay's certificate (CAA, RFC 8659), also by what names above the domain say, and
 * for the relay's account alone (RFC 8657). Pure; called by judge.ts.
 */
import {
  addThem,
  at,
  fine,
  type Judged,
  type Lookups,
  replaceBy,
  type Verdict,
  valuesOf,
} from "./verdict.ts";
import type { Lookup } from "./views.ts";
import { parentsWithin, type Wanted } from "./wanted.ts";

type Issuer = Readonly<{ authority: string; account: string | undefined }>;

export function judgeAuthorities(wanted: Wanted, lookup: Lookup, lookups: Lookups, judged: Judged): Verdict {
  const [wish] = wanted.records.flatMap((record) =>
    record.type === "CAA" ? [parseIssuer(record.value)] : [],
  );
  if (wish === undefined) throw new Error("no authority is wanted");
  const here = issuersOf(lookup);
  if (!hasCaa(lookup)) return judgeInherited(wanted, wish, lookups, judged);
  // Without “issue” nothing is restricted (RFC 8659 §4.2).
  if (here.length === 0) return { state: "missing", reason: "", mend: addThem(wanted) };
  const ours = here.filter(({ authority }) => authority === wish.authority);
  if (ours.length === 0) {
    return {
      ...{ state: "conflicts", grave: true, mend: addThem(wanted) },
      reason: `forbids ${wish.authority} to issue the certificate; allowed: ${names(here)}`,
    };
  }
  // One record without an account allows them all.
  if (wish.account === undefined || ours.every(({ account }) => account === wish.account)) return fine;
  if (ours.every(({ account }) => account !== undefined && account !== wish.account)) {
    return {
      ...{ state: "conflicts", grave: true, mend: replaceBy(wanted) },
      reason: "allows another account than the relay's",
    };
  }
  return {
    state: "differs",
    reason: `allows other accounts at ${wish.authority} too`,
    mend: replaceBy(wanted),
  };
}

/** The closest name above with CAA records counts (RFC 8659 §3). */
function judgeInherited(wanted: Wanted, wish: Issuer, lookups: Lookups, { domain, zone }: Judged): Verdict {
  for (const name of parentsWithin(domain, zone)) {
    const lookup = at(lookups, { name, type: "CAA" });
    if (!hasCaa(lookup)) continue;
    const issuers = issuersOf(lookup);
    if (issuers.length === 0 || issuers.some(({ authority }) => authority === wish.authority)) break;
    return {
      ...{ state: "conflicts", grave: true, mend: addThem(wanted) },
      reason: `${name} forbids ${wish.authority} to issue the certificate; allowed: ${names(issuers)}`,
    };
  }
  return { state: "missing", reason: "", mend: addThem(wanted) };
}

function hasCaa(lookup: Lookup): boolean {
  return valuesOf(lookup).some(({ type }) => type === "CAA");
}

function issuersOf(lookup: Lookup): Issuer[] {
  return valuesOf(lookup).flatMap((value) =>
    value.type === "CAA" && value.tag.toLowerCase() === "issue" ? [parseIssuer(value.value)] : [],
  );
}

/** RFC 8659 §4.2: the authority's name, then parameters; all may have spaces around. */
export function parseIssuer(value: string): Issuer {
  const [authority = "", ...parameters] = value.split(";").map((part) => part.trim());
  const account = parameters.find((parameter) => /^accounturi\s*=/i.test(parameter));
  return { authority: authority.toLowerCase(), account: account?.slice(account.indexOf("=") + 1).trim() };
}

function names(issuers: readonly Issuer[]): string {
  return issuers.map(({ authority }) => authority || "nobody").join(", ");
}
