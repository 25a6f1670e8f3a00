/**
 * What is there of a change that was cut off: which record sets are as they shall be, which as they were. Called by the
 * wizard, which shows it; I/O by the provider.
 */
import type { DnsProvider } from "../../appliance/dns/provider.ts";
import { type RecordSet, sameValues } from "../../appliance/dns/record-set.ts";
import type { ZoneBackup } from "./backup.ts";
import type { PlannedChange } from "./plan.ts";

export type HalfDone = Readonly<{
  written: readonly PlannedChange[];
  /** As before the change. */
  missing: readonly PlannedChange[];
  /** Neither: some of its values were written, or somebody else was at it. */
  partly: readonly PlannedChange[];
}>;

/** Throws DnsProviderError. */
export async function readHalfDone({ zone, changes }: ZoneBackup, provider: DnsProvider): Promise<HalfDone> {
  const names = changes.map(({ after: { name, type } }) => ({ name, type }));
  const current = await provider.read(zone, names);
  const found = { written: [], missing: [], partly: [] } satisfies Record<keyof HalfDone, PlannedChange[]>;
  const lists: Record<keyof HalfDone, PlannedChange[]> = found;
  for (const change of changes) {
    const { before, after } = change;
    const now = current.find(({ name, type }) => name === after.name && type === after.type);
    if (isSame(now, after)) lists.written.push(change);
    else if (isSame(now, before ?? undefined)) lists.missing.push(change);
    else lists.partly.push(change);
  }
  return found;
}

function isSame(a: RecordSet | undefined, b: RecordSet | undefined): boolean {
  if (a === undefined || b === undefined) return (a ?? b)?.values.length === 0 || a === b;
  return sameValues(a, b);
}
