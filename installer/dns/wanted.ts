/**
 * What a relay's check looks for: its records grouped as the DNS answers, one question a group. Pure; called by check.ts
 * and judge.ts.
 */
import type { DnsRecord } from "../../appliance/dns/records.ts";
import type { RelayQuestion } from "./views.ts";

/** What shall be in the DNS. */
export type DesiredDns = Readonly<{
  domain: string;
  /** As from relayRecords. Without addresses, any public one will do; without DKIM keys, see `selectors`. */
  records: readonly DnsRecord[];
  /** Where the relay's key is not known: any usable key at these selectors will do. */
  selectors?: readonly string[];
  /** How the relay proves its names to an authority, where that is known. */
  challenge?: Challenge;
}>;

/** RFC 8555 §8.3, §8.4. */
export type Challenge = "http-01" | "dns-01";

/** What one question is about. */
export type Wanted = RelayQuestion &
  Readonly<{
    need: DnsRecord["need"];
    purpose: string;
    /** The values that shall be there; none: any that will do (see DesiredDns). */
    records: readonly DnsRecord[];
  }>;

export function wantedOf({ domain, records, selectors = [] }: DesiredDns): Wanted[] {
  const groups = new Map<string, Wanted & { records: DnsRecord[] }>();
  for (const record of records) {
    const { name, type, need, purpose } = record;
    const group = groups.get(`${name} ${type}`) ?? { name, type, need, purpose, records: [] };
    group.records.push(record);
    groups.set(`${name} ${type}`, group);
  }
  const hasAddress = groups.has(`${domain} A`) || groups.has(`${domain} AAAA`);
  const anyAddress = { name: domain, type: "A", need: "required", purpose: "where the relay is" } as const;
  const anyKeys = selectors.map((selector) => {
    const name = `${selector}._domainkey.${domain}`;
    return {
      name,
      type: "TXT",
      need: "required",
      purpose: "the key that signs outgoing mail",
      records: [],
    } as const;
  });
  return [...(hasAddress ? [] : [{ ...anyAddress, records: [] }]), ...groups.values(), ...anyKeys];
}

/**
 * All that has to be asked: the wanted, the addresses that would stand where an alias shall be or that nobody wants, and
 * names that nobody has, which only a wildcard answers (RFC 4592).
 */
export function questionsFor(
  wanted: readonly Wanted[],
  domain: string,
  zone: string,
  nobody: string,
): RelayQuestion[] {
  const aliases = wanted.filter(({ type }) => type === "CNAME");
  const above = [...parentsWithin(domain, zone)].map((name) => ({ name, type: "CAA" }) as const);
  const questions: RelayQuestion[] = [
    ...wanted.map(({ name, type }) => ({ name, type })),
    ...[domain, ...aliases.map(({ name }) => name)].flatMap((name) => addressQuestions(name)),
    ...wildcardNames(domain, zone, nobody).flatMap((name) => [
      ...addressQuestions(name),
      ...(["CNAME", "TXT", "MX", "SRV", "CAA"] as const).map((type) => ({ name, type })),
    ]),
    ...above,
  ];
  return [...new Map(questions.map((question) => [`${question.name} ${question.type}`, question])).values()];
}

function addressQuestions(name: string): RelayQuestion[] {
  return (["A", "AAAA"] as const).map((type) => ({ name, type }));
}

/** Below the domain and, when that is not the zone itself, beside it. */
export function wildcardNames(domain: string, zone: string, nobody: string): string[] {
  return [...new Set([`${nobody}.${domain}`, ...(zone.includes(".") ? [`${nobody}.${zone}`] : [])])];
}

/** The names above the domain up to the zone: their CAA records bind the domain when it has none (RFC 8659 §3). */
export function* parentsWithin(domain: string, zone: string): Generator<string> {
  if (!zone.includes(".")) return;
  let name = domain;
  while (name !== zone && name.endsWith(`.${zone}`)) {
    name = name.slice(name.indexOf(".") + 1);
    yield name;
  }
}
