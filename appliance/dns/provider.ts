/**
 * What Homing needs of whoever keeps a zone: a name server that takes changes (rfc2136.ts), or the interface of a
 * registrar. services/certificates proves by it that a name is ours (dns-01); anything that publishes a relay's
 * records can go through it. One value at a time: what stands beside it belongs to others.
 */
import type { DnsRecord, RecordData } from "./records.ts";

/** A record at the provider: an absolute name in lower case without the final dot, seconds, and the value. */
export type ZoneRecord = RecordData & Pick<DnsRecord, "name" | "ttl">;

export type DnsProvider = Readonly<{
  /** The values of this type at the name; none when there is no such name. */
  list(name: string, type: ZoneRecord["type"]): Promise<ZoneRecord[]>;
  /** Adds a value beside those that are there; the same value twice is one. Of one name and type, all get its `ttl`. */
  add(record: ZoneRecord): Promise<void>;
  /** Takes the value away, whatever its `ttl`; others at the name stay, and it may be gone already. */
  remove(record: ZoneRecord): Promise<void>;
}>;

/** The provider did not do what it was asked for. The message is for the owner: what was asked, why not, the mend. */
export class DnsProviderError extends Error {
  override name = "DnsProviderError";
}
