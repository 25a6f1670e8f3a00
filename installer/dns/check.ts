/**
 * Whether a relay's DNS records are published: finds the zone, asks every one of its name servers, and compares what they
 * say with what the relay needs. Called by `./homing dns`, by watch.ts and by the wizard. I/O on the network only.
 */
import { randomBytes } from "node:crypto";
import { presentation } from "../../appliance/dns/record-set.ts";
import { specialUseOf } from "../../appliance/domain.ts";
import { dnssecOf } from "./dnssec.ts";
import { contentFindings, disagreements, dnssecFindings, serverFindings } from "./findings.ts";
import { type CheckOptions, type Inquiry, inquire } from "./inquiry.ts";
import { judge } from "./judge.ts";
import { printableAll } from "./printable.ts";
import type { DnsReport, Finding, RecordReport, ServerReport } from "./report.ts";
import { httpsResolver, systemResolver } from "./resolver.ts";
import { at, type Judged, recordStates, type Verdict, valuesOf } from "./verdict.ts";
import type { View } from "./views.ts";
import { type DesiredDns, type Wanted, wantedOf, wildcardNames } from "./wanted.ts";

/** Throws the signal's reason; whatever the network does is in the report. */
export async function checkDns(desired: DesiredDns, options: CheckOptions): Promise<DnsReport> {
  const wanted = wantedOf(desired);
  // Nobody has a name that was just made up.
  const nobody = `nobody-${randomBytes(6).toString("hex")}`;
  const inquiry = await inquire(desired.domain, wanted, nobody, options);
  const { zones, views } = inquiry;
  const isAnswered = inquiry.path !== "none";
  const hasZone = isAnswered && zones.zone.includes(".");
  const addresses = desired.records.flatMap((record) =>
    record.name === desired.domain && "address" in record ? [presentation(record)] : [],
  );
  const nobodies = wildcardNames(desired.domain, zones.zone, nobody);
  const isKnown = desired.selectors === undefined;
  const { domain, challenge } = desired;
  const judged: Judged = { domain, zone: zones.zone, addresses, nobodies, isKnown, challenge };
  const answering = views.filter(({ state }) => state === "answers");
  const silence = silences[isAnswered ? (hasZone ? "servers" : "zone") : "all"];
  const records = wanted.map((each) => reportOf(each, hasZone ? answering : [], judged, silence));
  const dnssec = hasZone && options.servers === undefined ? await dnssecState(inquiry, options) : undefined;
  const questions = wanted.map(({ name, type }) => ({ name, type }));
  const [first] = answering;
  const findings = [
    ...inquiry.findings,
    ...(hasZone || !isAnswered ? [] : [noZone(desired.domain, zones.zone)]),
    ...(inquiry.path === "servers" && hasZone ? serverFindings(zones, views) : []),
    ...(hasZone ? disagreements(views, questions) : []),
    ...(dnssec === undefined ? [] : dnssecFindings(dnssec, zones.zone)),
    ...(hasZone && first !== undefined ? contentFindings(first, judged) : []),
  ];
  const outside = dnssec?.askedOutside === true ? options.world.https : [];
  return printableAll({
    domain: desired.domain,
    zone: hasZone ? zones.zone : null,
    nameServers: hasZone ? zones.servers.map(({ name }) => name) : [],
    path: inquiry.path,
    asked: [...new Set([...inquiry.asked, ...outside])],
    servers: hasZone ? views.map(serverReport) : [],
    dnssec: dnssec?.state ?? "unknown",
    records,
    findings,
    works: [...records, ...findings].every(({ severity }) => severity !== "error"),
  });
}

function serverReport({ server, address, state, reason, serial }: View): ServerReport {
  return { server, address, state, reason, serial };
}

async function dnssecState({ zones, views, path }: Inquiry, { world, signal, now = Date.now }: CheckOptions) {
  const isDirect = path === "servers";
  const addresses = views.filter(({ state }) => state === "answers").map(({ address }) => address);
  const https = httpsResolver(world, signal);
  return dnssecOf(
    zones.zone,
    {
      ...{ port: world.port, parentAddresses: isDirect ? zones.parentAddresses : [] },
      ...{ addresses: isDirect ? addresses : [], now: Math.floor(now() / 1000) },
      ...{ resolver: path === "https" ? https : systemResolver(world, signal), outside: https },
    },
    signal,
  );
}

/** What is said of a record of which nobody said anything. */
const silences: Readonly<Record<"servers" | "zone" | "all", Verdict>> = {
  servers: { state: "unknown", reason: "no name server answers", mend: "Mend the name servers first." },
  zone: { state: "missing", reason: "", mend: "" },
  all: { state: "unknown", reason: "nobody could be asked", mend: "" },
};

function reportOf(wanted: Wanted, views: readonly View[], judged: Judged, silence: Verdict): RecordReport {
  const { name, type, need, purpose } = wanted;
  const verdicts = views.map(({ lookups }) => judge(wanted, lookups, judged));
  const rank = ({ state, warning }: Verdict) => 2 * recordStates.indexOf(state) + (warning === true ? 1 : 0);
  const [first = silence, ...more] = verdicts;
  const worst = more.reduce((a, b) => (rank(b) > rank(a) ? b : a), first);
  const bad = views.filter((_, index) => verdicts[index]!.state !== "ok");
  const isPartial = bad.length > 0 && bad.length < views.length;
  const at_ = isPartial ? `at ${bad.map(({ server }) => server).join(", ")}` : "";
  const isBroken = worst.state !== "ok" && (need === "required" || worst.grave === true);
  const found = views
    .flatMap(({ lookups }) => valuesOf(at(lookups, wanted)))
    .filter((value) => value.type === type);
  return {
    ...{ name, type, need, purpose, state: worst.state, mend: worst.mend },
    severity: isBroken ? "error" : worst.state !== "ok" || worst.warning === true ? "warning" : "none",
    wanted: wanted.records.map(presentation),
    found: [...new Set(found.map(presentation))],
    reason: [worst.reason, at_].filter((words) => words !== "").join(" "),
  };
}

/** `above`: the closest zone that is known here, the root's name when not even the top-level domain is. */
function noZone(domain: string, above: string): Finding {
  if (above !== "") {
    return {
      ...{ severity: "error", code: "delegation-missing" },
      text: `${domain} is in no zone: the closest one that exists is ${above}, and it does not know that name`,
      mend: "Register the domain, and enter the name servers of your DNS provider at the registrar.",
    };
  }
  const special = specialUseOf(domain);
  if (special !== undefined) {
    return {
      ...{ severity: "error", code: "delegation-missing" },
      text: `no public DNS knows ${domain}: “.${special.ending}” is set aside (${special.source})`,
      mend: "Choose a domain of your own, or name the address of your own DNS server by --server.",
    };
  }
  return {
    ...{ severity: "error", code: "delegation-missing" },
    text: `${domain} is in no zone: not even “.${domain.split(".").at(-1)}” is known here`,
    mend: "See that the domain is spelled right, and run the check again.",
  };
}
