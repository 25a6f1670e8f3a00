/**
 * Adds and removes one value of a record set and leaves the others there: for proofs (dns-01), whose name may hold those
 * of others. Called by services/certificates. I/O by the provider alone.
 */
import { type DnsProvider, DnsProviderError } from "./provider.ts";
import { type RecordSet, tidyValue, type ValueRow } from "./record-set.ts";
import { zoneOf } from "./zone-names.ts";

export type ZoneValues = Readonly<{
  /** Adds the value beside those that are there; the same value twice is one. All of them get its `ttl`. */
  add(value: ValueRow): Promise<void>;
  /** Takes the value away, whatever its `ttl`; it may be gone already. */
  remove(value: ValueRow): Promise<void>;
}>;

/** Changes through these functions run one after another: each reads what the one before left. */
export function zoneValues(provider: DnsProvider, zone: string): ZoneValues {
  let last: Promise<unknown> = Promise.resolve();
  const change = (
    row: ValueRow,
    valuesOf: (before: readonly string[], value: string) => readonly string[],
  ) => {
    const done = last.then(async () => {
      const { name, type, ttl } = row;
      const [before]: (RecordSet | undefined)[] = await provider.read(zone, [{ name, type }]);
      const old = before?.values ?? [];
      const values = valuesOf(old, tidyValue(type, row.value));
      if (values.length === old.length) {
        await provider.publish?.(zone);
        return;
      }
      await provider.change(zone, [{ name, type, ttl, values }]);
    });
    last = done.catch(() => undefined);
    return done;
  };
  return {
    add: (row) => change(row, (before, value) => [...new Set([...before, value])]),
    remove: (row) => change(row, (before, value) => before.filter((one) => one !== value)),
  };
}

/** The same for names in any of the provider's zones, which are asked for once something is to be changed. */
export function anyZoneValues(provider: DnsProvider): ZoneValues {
  const byZone = new Map<string, ZoneValues>();
  let zones: readonly string[] | undefined;
  const valuesFor = async (name: string): Promise<ZoneValues> => {
    zones ??= await provider.zones();
    const zone = zoneOf(name, zones);
    if (zone === undefined) {
      throw new DnsProviderError(`the credentials for the DNS show no zone that holds ${name}`, "missing");
    }
    const values = byZone.get(zone) ?? zoneValues(provider, zone);
    byZone.set(zone, values);
    return values;
  };
  return {
    add: async (row) => (await valuesFor(row.name)).add(row),
    remove: async (row) => (await valuesFor(row.name)).remove(row),
  };
}
