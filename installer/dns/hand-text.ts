/**
 * A relay's records for people who copy them into the fields of a provider's page: the path of clicks, then each record
 * with its fields as such pages name them. Pure; called by the command and the wizard.
 */
import type { DnsRecord } from "../../appliance/dns/records.ts";
import { relativeName } from "../../appliance/dns/zone-names.ts";

/** `path`: lines of plain words (appliance/dns/by-hand.ts). */
export function handText(records: readonly DnsRecord[], zone: string, path: readonly string[]): string {
  const lines = records.map((record, index) => {
    const fields = fieldsOf(record, zone).map(([label, value]) => `     ${label.padEnd(10)} ${value}`);
    return [
      `${String(index + 1).padStart(2)}. ${record.type} ${record.name}: ${record.purpose} (${record.need})`,
      ...fields,
    ].join("\n");
  });
  const names = `“Host” below is the name without “.${zone}”, the zone at the provider; “@” is the zone itself.`;
  return `${path.join("\n")}\n${names}\n\n${lines.join("\n\n")}\n`;
}

function fieldsOf(record: DnsRecord, zone: string): (readonly [label: string, value: string])[] {
  const host = ["Host", relativeName(record.name, zone) || "@"] as const;
  const ttl = ["TTL", `${record.ttl} (1 hour), or automatic`] as const;
  switch (record.type) {
    case "A":
    case "AAAA":
      return [host, ["Value", record.address], ttl];
    case "CNAME":
      return [host, ["Value", record.target], ttl];
    case "MX":
      return [host, ["Value", record.exchange], ["Priority", String(record.preference)], ttl];
    case "TXT":
      return [host, ["Value", record.text], ttl];
    case "CAA":
      return [host, ["Flag", String(record.flags)], ["Tag", record.tag], ["Value", record.value], ttl];
    case "SRV": {
      const [service = "", protocol = "", ...rest] = record.name.split(".");
      const place = relativeName(rest.join("."), zone) || "@";
      return [
        ...([
          ["Service", service],
          ["Protocol", protocol],
          ["Host", place],
        ] as const),
        ...([
          ["Priority", String(record.priority)],
          ["Weight", String(record.weight)],
        ] as const),
        ...([
          ["Port", String(record.port)],
          ["Target", record.target],
        ] as const),
        ttl,
      ];
    }
  }
}
