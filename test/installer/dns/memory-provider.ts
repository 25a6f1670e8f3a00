/**
 * A provider in memory that keeps single values, as most registrars do: each change of one value is a request, and any
 * request may be the last one before the line breaks. Used by the tests of installer/dns.
 */
import { type DnsProvider, DnsProviderError } from "../../../appliance/dns/provider.ts";
import type { RecordSet } from "../../../appliance/dns/record-set.ts";

export type MemoryProvider = DnsProvider &
  Readonly<{
    /** The zone as it is now, sorted. */
    content(): RecordSet[];
    /** Requests that changed something. */
    writes(): number;
    /** The line breaks at this request from now on (0: the next one), before or after it did its work; never: undefined. */
    breakAt(request: number | undefined, done?: boolean): void;
  }>;

export function memoryProvider(zone: string, sets: readonly RecordSet[]): MemoryProvider {
  const zoneSets = new Map(
    sets.map((set) => [`${set.name} ${set.type}`, { ...set, values: [...set.values] }]),
  );
  let writes = 0;
  let left: number | undefined;
  let isDone = false;
  const broken = () => new DnsProviderError("the line broke", "unreachable");
  const request = (work: () => void) => {
    if (left === 0 && !isDone) throw broken();
    work();
    writes++;
    if (left === 0) throw broken();
    if (left !== undefined) left--;
  };
  return {
    zones: async () => ["elsewhere.test", zone],
    check: async () => "allowed",
    async read(_zone, wanted) {
      return [...zoneSets.values()]
        .filter(({ name, type }) => wanted?.some((set) => set.name === name && set.type === type) ?? true)
        .map((set) => ({ ...set, values: [...set.values] }));
    },
    async change(_zone, wanted) {
      for (const { name, type, ttl, values } of wanted) {
        const key = `${name} ${type}`;
        for (const value of values) {
          if (zoneSets.get(key)?.values.includes(value)) continue;
          request(() => {
            const set = zoneSets.get(key) ?? { name, type, ttl, values: [] };
            zoneSets.set(key, { ...set, values: [...set.values, value] });
          });
        }
        for (const value of (zoneSets.get(key)?.values ?? []).filter((each) => !values.includes(each))) {
          request(() => {
            const set = zoneSets.get(key)!;
            const rest = set.values.filter((each) => each !== value);
            if (rest.length === 0) zoneSets.delete(key);
            else zoneSets.set(key, { ...set, values: rest });
          });
        }
      }
    },
    content: () =>
      [...zoneSets.values()]
        .map((set) => ({ ...set, values: [...set.values].sort() }))
        .sort((a, b) => `${a.name} ${a.type}`.localeCompare(`${b.name} ${b.type}`)),
    writes: () => writes,
    breakAt(requestNumber, done = false) {
      left = requestNumber;
      isDone = done;
    },
  };
}
