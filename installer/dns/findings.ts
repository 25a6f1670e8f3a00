/**
 * What is wrong with a zone beyond single records: its delegation, its servers, wildcards, parking pages. Pure; called by
 * check.ts.
 */
import { isIPv6 } from "node:net";
import type { DnssecState } from "./dnssec.ts";
import { addressesAt } from "./judge.ts";
import { isParkingName, mailServiceOf } from "./known-names.ts";
import { isPublicAddress } from "./public-address.ts";
import type { Finding } from "./report.ts";
import { aliasConflict, at, isFromWildcard, type Judged, valuesOf } from "./verdict.ts";
import { lookupKey, type RelayQuestion, type View } from "./views.ts";
import type { ZoneServers } from "./zone-servers.ts";

/** Names of a finding's text are listed up to this many. */
const MAX_LISTED = 4;

/** The servers: those without an answer, those without the zone, and what the zone above says of them. */
export function serverFindings({ zone, servers, delegated }: ZoneServers, views: readonly View[]): Finding[] {
  const findings: Finding[] = [];
  const add = (severity: Finding["severity"], code: Finding["code"], text: string, mend: string) =>
    findings.push({ severity, code, text, mend });
  // As long as one server has the zone, resolvers come to it in the end.
  const isSeen = views.some(({ state }) => state === "answers");
  const own = [...new Set(views.flatMap(({ nameServers }) => nameServers))];
  for (const { name, addresses } of servers) {
    if (addresses.length > 0) continue;
    const mend = `Give ${name} an address, or take it out of the name servers of ${zone}.`;
    add("warning", "server-without-address", `the name server ${name} has no address`, mend);
  }
  for (const name of new Set(views.map(({ server }) => server))) {
    const its = views.filter(({ server }) => server === name);
    for (const { address, reason } of its.filter(({ state }) => state === "lame")) {
      const mend = `Take ${name} out of the name servers at the registrar, or set the zone up there.`;
      add(
        isSeen ? "warning" : "error",
        "server-lame",
        `the name server ${name} (${address}) ${reason}`,
        mend,
      );
    }
    const silent = its.filter(({ state, address }) => state === "silent" && !isDead(address, views));
    if (silent.length === 0) continue;
    const where = silent.map(({ address }) => address).join(" and ");
    const mend = `If it stays, tell whoever runs ${name}, or take it out of the name servers of ${zone}.`;
    add(
      isSeen ? "warning" : "error",
      "server-silent",
      `the name server ${name} (${where}) does not answer`,
      mend,
    );
  }
  if (delegated !== null && own.length > 0) {
    const [above, here] = [[...delegated].sort(), [...own].sort()];
    if (above.join() !== here.join()) {
      add(
        ...(["warning", "delegation-differs"] as const),
        `the zone above names the servers ${above.join(", ")}, the zone itself ${here.join(", ")}`,
        `Enter the same name servers at the registrar and in the zone ${zone}.`,
      );
    }
  }
  const parked = [...new Set([...(delegated ?? []), ...own])].filter(isParkingName);
  if (parked.length > 0) {
    const mend = "At the registrar, choose the name servers of your DNS provider.";
    add("error", "parking", `${parked.join(" and ")} answer for every parked domain`, mend);
  }
  return findings;
}

/** No server at all answers by this family of addresses, and by the other one some do: then it is this network's. */
function isDead(address: string, views: readonly View[]): boolean {
  const isSame = (view: View) => isIPv6(view.address) === isIPv6(address);
  const answering = views.filter(({ state }) => state === "answers");
  return answering.length > 0 && !answering.some(isSame);
}

/** Servers that answer differently: some have an old version of the zone, or another one. */
export function disagreements(views: readonly View[], questions: readonly RelayQuestion[]): Finding[] {
  const answering = views.filter(({ state }) => state === "answers");
  const texts = (view: View, question: RelayQuestion) => {
    const lookup = view.lookups.get(lookupKey(question));
    if (lookup === undefined || lookup.kind === "failed") return undefined;
    return JSON.stringify(
      lookup.kind === "none"
        ? []
        : [
            lookup.kind,
            ...valuesOf(lookup)
              .map((value) => JSON.stringify(value))
              .sort(),
          ],
    );
  };
  const differing = questions.filter((question) => {
    const said = answering.map((view) => texts(view, question)).filter((text) => text !== undefined);
    return new Set(said).size > 1;
  });
  if (differing.length === 0) return [];
  const names = [...new Set(differing.map(({ name, type }) => `${name} ${type}`))];
  const listed =
    names.slice(0, MAX_LISTED).join(", ") +
    (names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : "");
  const versions = answering.map(
    ({ server, address, serial }) => `${server} (${address}) has version ${serial}`,
  );
  return [
    {
      ...{ severity: "warning", code: "servers-disagree" },
      text: `the name servers do not agree on ${listed}: ${versions.join(", ")}`,
      mend: "Wait some minutes after a change; if it stays, tell the DNS provider that its servers differ.",
    },
  ];
}

/** What one server's answers show besides the wanted records. */
export function contentFindings(view: View, judged: Judged): Finding[] {
  const { domain, addresses } = judged;
  const findings: Finding[] = [];
  const wild = judged.nobodies.filter((name) =>
    (["A", "AAAA", "TXT", "MX"] as const).some((type) => {
      const lookup = at(view.lookups, { name, type });
      return lookup.kind === "values" || lookup.kind === "alias";
    }),
  );
  // The one above also answers below, unless the domain has one of its own.
  const [first] = wild.sort((a, b) => a.length - b.length);
  if (first !== undefined) {
    const wildcard = `*.${first.slice(first.indexOf(".") + 1)}`;
    const alias = at(view.lookups, { name: first, type: "A" });
    const parked =
      alias.kind === "alias" && isParkingName(alias.target) ? " (a parking page of the registrar)" : "";
    findings.push({
      ...{ severity: "warning", code: "wildcard" },
      text: `${wildcard} answers for every name that does not exist${parked}`,
      mend: `Remove the record ${wildcard} unless you need it; the relay does not.`,
    });
  }
  const found = (["A", "AAAA"] as const).flatMap((type) => addressesAt(view.lookups, domain, type));
  const local = found.filter((address) => addresses.includes(address) && !isPublicAddress(address));
  if (local.length > 0) {
    findings.push({
      ...{ severity: "warning", code: "not-public" },
      text: `${local.join(" and ")} cannot be reached from the Internet`,
      mend: `Unless the relay is for one network alone, put its public address at ${domain}.`,
    });
  }
  const families = new Set(addresses.map((address) => address.includes(":")));
  const stray = addresses.length === 0 ? [] : found.filter((address) => !families.has(address.includes(":")));
  if (stray.length > 0) {
    const type = stray[0]!.includes(":") ? "AAAA" : "A";
    findings.push({
      // Clients and senders with that family of addresses go there, most of them first (RFC 6724 §2.1).
      ...{ severity: "error", code: "stray-address" },
      text: `${domain} also leads to ${stray.join(" and ")}, which was not named as the relay's`,
      mend: `Remove the ${type} record at ${domain}, or name the address with --address if the relay has it.`,
    });
  }
  const mail = at(view.lookups, { name: domain, type: "MX" });
  if (mail.kind === "alias" && !isFromWildcard({ name: domain, type: "MX" }, view.lookups, judged.nobodies)) {
    const { reason, mend } = aliasConflict({ name: domain, type: "MX" }, mail.target);
    findings.push({ severity: "error", code: "alias-conflict", text: reason, mend });
  }
  for (const value of valuesOf(mail)) {
    const service = value.type === "MX" ? mailServiceOf(value.exchange) : undefined;
    if (service === undefined) continue;
    findings.push({
      ...{ severity: "warning", code: "foreign-mail" },
      text: `mail for ${domain} goes through ${service}`,
      mend: "Switch that service off at the provider: while it is on, its MX records may come back.",
    });
    break;
  }
  return findings;
}

export function dnssecFindings({ state, reason, mend }: DnssecState, zone: string): Finding[] {
  if (state !== "broken") return [];
  return [{ severity: "error", code: "dnssec-broken", text: `DNSSEC of ${zone} is broken: ${reason}`, mend }];
}
