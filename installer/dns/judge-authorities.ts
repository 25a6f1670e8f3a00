/**
 * Whether the authority may issue the relay's certificate (CAA, RFC 8659), also by what names above the domain say, and
 * for the relay's account and its way of proving a name alone (RFC 8657). Pure; called by judge.ts.
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

type Issuer = Readonly<{
  authority: string;
  account: string | undefined;
  /** By which the authority may let a name be proven; undefined: by any. */
  methods: readonly string[] | undefined;
}>;

/** By which the services prove names (services/certificates); for a domain alone it is not known which. */
const ourMethods = ["http-01", "dns-01"];

export function judgeAuthorities(wanted: Wanted, lookup: Lookup, lookups: Lookups, judged: Judged): Verdict {
  const [wish] = wanted.records.flatMap((record) =>
    record.type === "CAA" ? [parseIssuer(record.value)] : [],
  );
  if (wish === undefined) throw new Error("no authority is wanted");
  if (!hasCaa(lookup)) return judgeInherited(wanted, wish, lookups, judged);
  const here = issuersOf(lookup);
  // Without “issue” nothing is restricted (RFC 8659 §4.2).
  return here.length === 0 ? missing(wanted) : judgeIssuers(wanted, wish, here, judged);
}

/** The closest name above with CAA records counts (RFC 8659 §3). */
function judgeInherited(wanted: Wanted, wish: Issuer, lookups: Lookups, judged: Judged): Verdict {
  for (const name of parentsWithin(judged.domain, judged.zone)) {
    const lookup = at(lookups, { name, type: "CAA" });
    if (!hasCaa(lookup)) continue;
    const issuers = issuersOf(lookup);
    const above = issuers.length === 0 ? fine : judgeIssuers(wanted, wish, issuers, judged);
    if (above.state !== "conflicts") break;
    return { ...above, reason: `${name} ${above.reason}`, mend: addThem(wanted) };
  }
  return missing(wanted);
}

function missing(wanted: Wanted): Verdict {
  return { state: "missing", reason: "", mend: addThem(wanted) };
}

/** One record that permits is enough; all parameters of one record bind together (RFC 8657 §3, §4). */
function judgeIssuers(
  wanted: Wanted,
  wish: Issuer,
  issuers: readonly Issuer[],
  { challenge }: Judged,
): Verdict {
  const conflict = (reason: string, mend: string): Verdict => ({
    ...{ state: "conflicts", grave: true, reason, mend },
  });
  const ours = issuers.filter(({ authority }) => authority === wish.authority);
  if (ours.length === 0) {
    const reason = `forbids ${wish.authority} to issue the certificate; allowed: ${names(issuers)}`;
    return conflict(reason, addThem(wanted));
  }
  const methods = challenge === undefined ? ourMethods : [challenge];
  const usable = ours.filter((issuer) => issuer.methods?.some((one) => methods.includes(one)) ?? true);
  if (usable.length === 0) {
    const allowed = [...new Set(ours.flatMap((issuer) => issuer.methods ?? []))].join(", ") || "none";
    const reason = `allows ${wish.authority} other proofs (${allowed}) than the relay's (${methods.join(" or ")})`;
    return conflict(reason, replaceBy(wanted));
  }
  // A record without an account lets every account at the authority have certificates.
  const accounts = usable.flatMap(({ account }) => account ?? []);
  const isBound = accounts.length === usable.length;
  if (wish.account === undefined) {
    if (!isBound) return fine;
    return {
      ...{ state: "ok", warning: true },
      reason: `allows the account ${accounts.join(" and ")} alone; whether that is the relay's is not known`,
      mend: "Compare it with the one that homing-ctl certificate shows on the relay, or name that one by --account-uri.",
    };
  }
  if (isBound && accounts.every((account) => account === wish.account)) return fine;
  if (isBound && !accounts.includes(wish.account)) {
    return conflict("allows another account than the relay's", replaceBy(wanted));
  }
  return {
    state: "differs",
    reason: `allows other accounts at ${wish.authority} too`,
    mend: replaceBy(wanted),
  };
}

function hasCaa(lookup: Lookup): boolean {
  return valuesOf(lookup).some(({ type }) => type === "CAA");
}

function issuersOf(lookup: Lookup): Issuer[] {
  return valuesOf(lookup).flatMap((value) =>
    value.type === "CAA" && value.tag.toLowerCase() === "issue" ? [parseIssuer(value.value)] : [],
  );
}

/** RFC 8659 §4.2: the authority's name, then parameters; all may have spaces around. Methods are a list with commas. */
export function parseIssuer(value: string): Issuer {
  const [authority = "", ...parameters] = value.split(";").map((part) => part.trim());
  const parameterOf = (name: string) => {
    const found = parameters.find((parameter) => parameter.split("=", 1)[0]!.trim().toLowerCase() === name);
    return found?.slice(found.indexOf("=") + 1).trim();
  };
  return {
    authority: authority.toLowerCase(),
    account: parameterOf("accounturi"),
    methods: parameterOf("validationmethods")
      ?.split(",")
      .map((method) => method.trim().toLowerCase()),
  };
}

function names(issuers: readonly Issuer[]): string {
  return issuers.map(({ authority }) => authority || "nobody").join(", ");
}
