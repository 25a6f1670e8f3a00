/**
 * Whether what a name server has is what the relay needs: by meaning, not by text, since providers cut and join TXT,
 * change case and TTL, and owners add what does no harm. Pure; called by check.ts for each question and server, and by
 * plan.ts, which leaves alone what is right already.
 */
import { presentation } from "../../appliance/dns/record-set.ts";
import type { DnsRecord, RecordData } from "../../appliance/dns/records.ts";
import { judgeAuthorities } from "./judge-authorities.ts";
import { judgeText } from "./judge-text.ts";
import { isParkingName, mailServiceOf } from "./known-names.ts";
import { isPublicAddress } from "./public-address.ts";
import {
  addThem,
  aliasConflict,
  at,
  fine,
  isFromWildcard,
  type Judged,
  type Lookups,
  replaceBy,
  type Verdict,
  valuesOf,
} from "./verdict.ts";
import { type Lookup, lookupKey } from "./views.ts";
import type { Wanted } from "./wanted.ts";

export function judge(wanted: Wanted, lookups: Lookups, judged: Judged): Verdict {
  const verdict = judgeAnswer(wanted, lookups, judged);
  const { name, type } = wanted;
  const isWild = (each: RecordData["type"]) => isFromWildcard({ name, type: each }, lookups, judged.nobodies);
  // What stands in the way of an alias are addresses.
  const involved: RecordData["type"][] = type === "CNAME" ? ["CNAME", "A", "AAAA"] : [type];
  if (verdict.state === "ok" || !involved.some(isWild)) return verdict;
  const own = new Map(lookups);
  for (const each of involved.filter(isWild)) own.set(lookupKey({ name, type: each }), { kind: "none" });
  const without = judgeAnswer(wanted, own, judged);
  return without.state === "missing" ? { ...without, reason: "only a wildcard answers" } : without;
}

function judgeAnswer(wanted: Wanted, lookups: Lookups, judged: Judged): Verdict {
  const lookup = at(lookups, wanted);
  if (lookup.kind === "failed") {
    return {
      state: "unknown",
      reason: lookup.reason,
      mend: "Run the check again; if it stays, tell the provider.",
    };
  }
  switch (wanted.type) {
    case "A":
    case "AAAA":
      return judgeAddresses(wanted, lookup, lookups, judged);
    case "MX":
      return judgeMail(wanted, lookup, judged);
    case "CNAME":
      return judgeAlias(wanted, lookup, lookups, judged);
    case "TXT":
      return judgeText(wanted, lookup, judged);
    case "SRV":
      return judgeService(wanted, lookup);
    case "CAA":
      return judgeAuthorities(wanted, lookup, lookups, judged);
  }
}

function judgeAddresses(wanted: Wanted, lookup: Lookup, lookups: Lookups, judged: Judged): Verdict {
  const { domain } = judged;
  if (lookup.kind === "alias") return aliasConflict(wanted, lookup.target);
  const all = (["A", "AAAA"] as const).flatMap((type) => addressesAt(lookups, domain, type));
  if (wanted.records.length === 0) return judgeAnyAddress(all, lookups, judged);
  const wish = wanted.records.map(presentation);
  const found = addressesAt(lookups, wanted.name, wanted.type as "A" | "AAAA");
  if (found.length === 0) return { state: "missing", reason: "", mend: addThem(wanted) };
  const foreign = found.filter((address) => !wish.includes(address));
  const absent = wish.filter((address) => !found.includes(address));
  if (foreign.length === 0 && absent.length === 0) return fine;
  const words = [
    ...(foreign.length === 0 ? [] : [`leads to ${foreign.join(" and ")}, which is not the relay`]),
    ...(absent.length === 0 ? [] : [`lacks ${absent.join(" and ")}`]),
  ];
  const mend =
    foreign.length === 0
      ? addThem(wanted)
      : `Let ${wanted.name} ${wanted.type} be ${wish.join(" and ")} alone.`;
  return { state: "differs", reason: words.join(" and "), mend };
}

/** Where nobody said which address the relay has: that one is there is not enough, for registrars park new domains. */
function judgeAnyAddress(found: readonly string[], lookups: Lookups, judged: Judged): Verdict {
  const { domain, nobodies, isKnown } = judged;
  if (found.length === 0) {
    const mend = `Add an A record (IPv4) or AAAA record (IPv6) at ${domain}.`;
    return { state: "missing", reason: "", mend };
  }
  const local = found.filter((address) => !isPublicAddress(address));
  if (local.length > 0) {
    return {
      state: "differs",
      reason: `${local.join(" and ")} cannot be reached from the Internet`,
      mend: `Put the relay's public address at ${domain}.`,
    };
  }
  const leads = `leads to ${found.join(" and ")}`;
  const parking = nobodies
    .map((name) => at(lookups, { name, type: "A" }))
    .find((lookup) => lookup.kind === "alias" && isParkingName(lookup.target));
  if (parking !== undefined) {
    return {
      state: "unknown",
      reason: `${leads}, maybe a parking page: the registrar's answers for every name that does not exist`,
      mend: `Put the relay's public address at ${domain}, and remove the registrar's parking records.`,
    };
  }
  return {
    ...(isKnown ? ({ state: "unknown" } as const) : ({ state: "ok", warning: true } as const)),
    reason: `${leads}; whether the relay is there is not known`,
    mend: "Name the relay's public address by --address, so that it is compared.",
  };
}

export function addressesAt(lookups: Lookups, name: string, type: "A" | "AAAA"): string[] {
  const lookup = lookups.get(lookupKey({ name, type }));
  return lookup?.kind === "values" ? lookup.values.map(presentation) : [];
}

function judgeMail(wanted: Wanted, lookup: Lookup, { domain }: Judged): Verdict {
  if (lookup.kind === "alias") return aliasConflict(wanted, lookup.target);
  const found = valuesOf(lookup).filter((value) => value.type === "MX");
  if (found.length === 0) return { state: "missing", reason: "", mend: addThem(wanted) };
  const ours = found.filter(({ exchange }) => exchange === domain);
  const foreign = found.filter(({ exchange }) => exchange !== domain);
  if (foreign.length === 0) return fine;
  const hosts = foreign.map(({ exchange }) => (exchange === "" ? "nobody (a null MX)" : exchange)).join(", ");
  const service = foreign.map(({ exchange }) => mailServiceOf(exchange)).find((each) => each !== undefined);
  const best = Math.min(...ours.map(({ preference }) => preference));
  if (foreign.every(({ preference }) => preference > best)) {
    return {
      ...{ state: "ok", warning: true, reason: `mail also goes to ${hosts} while the relay does not answer` },
      mend: `Remove the other MX records at ${domain} unless those servers hand mail on to the relay.`,
    };
  }
  return {
    state: "conflicts",
    reason: `mail for ${domain} goes to ${hosts}${service === undefined ? "" : `: ${service}`}`,
    mend: `If nobody needs that mail, remove those MX records; else give the relay a name of its own, like chat.${domain}.`,
  };
}

function judgeAlias(
  wanted: Wanted,
  lookup: Lookup,
  lookups: Lookups,
  { domain, addresses }: Judged,
): Verdict {
  const [record] = wanted.records;
  const target = record?.type === "CNAME" ? record.target : "";
  const found = valuesOf(lookup).filter((value) => value.type === "CNAME");
  if (found.length > 0 && found.every((value) => value.target === target)) return fine;
  const other = found.find((value) => value.target !== target);
  if (other !== undefined) {
    const parking = isParkingName(other.target) ? ", a parking page of the registrar" : "";
    return { state: "differs", reason: `leads to ${other.target}${parking}`, mend: replaceBy(wanted) };
  }
  const families = ["A", "AAAA"] as const;
  const own = families.flatMap((type) => addressesAt(lookups, wanted.name, type));
  if (own.length === 0) return { state: "missing", reason: "", mend: addThem(wanted) };
  const relays =
    addresses.length > 0 ? addresses : families.flatMap((type) => addressesAt(lookups, domain, type));
  // Some providers write the addresses in the place of an alias ("flattening"): it leads to the same.
  if (own.every((address) => relays.includes(address))) return fine;
  return {
    state: "conflicts",
    reason: `${wanted.name} has addresses of its own: ${own.join(", ")}`,
    mend: `Remove the A and AAAA records at ${wanted.name} and add a CNAME record to ${target}.`,
  };
}

function judgeService(wanted: Wanted, lookup: Lookup): Verdict {
  if (lookup.kind === "alias") return aliasConflict(wanted, lookup.target);
  const found = valuesOf(lookup).map(presentation);
  if (found.length === 0) return { state: "missing", reason: "", mend: addThem(wanted) };
  // Priority and weight choose among several; of one alone they say nothing (RFC 2782).
  const places = (values: readonly string[]) => values.map((value) => value.split(" ").slice(2).join(" "));
  const wish = places(wanted.records.map((record: DnsRecord) => presentation(record)));
  if (places(found).every((place) => wish.includes(place))) return fine;
  return { state: "differs", reason: `leads to ${found.join(", ")}`, mend: replaceBy(wanted) };
}
