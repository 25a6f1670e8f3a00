/**
 * For providers that keep single records with ids: which of them to change, create and remove so that record sets become
 * what they shall be. Pure but for the verbs passed in; called by most files in providers/.
 */
import { excludeEachOther, type RecordSet, tidyValue, type ValueRow } from "./record-set.ts";

export type StoredRow = ValueRow & Readonly<{ id: string }>;

export type RowChanges = Readonly<{
  /** Stand in the way of what is created. */
  removeFirst: readonly StoredRow[];
  update: readonly Readonly<{ row: StoredRow; to: ValueRow }>[];
  create: readonly ValueRow[];
  remove: readonly StoredRow[];
}>;

/**
 * `rows`: at least those of the sets' names and types; others stay. Rows that go are written over by ones that come, so
 * that a set is never empty in between. `ttlOf`: what the provider makes of a TTL.
 */
export function rowChanges(
  rows: readonly StoredRow[],
  sets: readonly RecordSet[],
  ttlOf: (seconds: number) => number = (seconds) => seconds,
): RowChanges {
  const update: { row: StoredRow; to: ValueRow }[] = [];
  const create: ValueRow[] = [];
  const left: StoredRow[] = [];
  for (const { name, type, values, ...set } of sets) {
    const ttl = ttlOf(set.ttl);
    const wanted = new Set(values);
    const spare: StoredRow[] = [];
    for (const row of rows) {
      if (row.name !== name || row.type !== type) continue;
      // The second row of a value goes: a request that was repeated may have made it.
      const value = tidyValue(type, row.value);
      if (!wanted.delete(value)) spare.push(row);
      else if (row.ttl !== ttl) update.push({ row, to: { name, type, ttl, value } });
    }
    for (const value of wanted) {
      const row = spare.pop();
      if (row === undefined) create.push({ name, type, ttl, value });
      else update.push({ row, to: { name, type, ttl, value } });
    }
    left.push(...spare);
  }
  const isInTheWay = (row: StoredRow) =>
    create.some(({ name, type }) => name === row.name && excludeEachOther(type, row.type));
  return {
    update,
    create,
    removeFirst: left.filter(isInTheWay),
    remove: left.filter((row) => !isInTheWay(row)),
  };
}

export type RowVerbs = Readonly<{
  create(row: ValueRow): Promise<unknown>;
  update(row: StoredRow, to: ValueRow): Promise<unknown>;
  remove(row: StoredRow): Promise<unknown>;
}>;

/** One after another, what is new before the old goes. Says whether anything was to be done. */
export async function applyRowChanges(changes: RowChanges, verbs: RowVerbs): Promise<boolean> {
  const { removeFirst, update, create, remove } = changes;
  for (const row of removeFirst) await verbs.remove(row);
  for (const { row, to } of update) await verbs.update(row, to);
  for (const row of create) await verbs.create(row);
  for (const row of remove) await verbs.remove(row);
  return [removeFirst, update, create, remove].some((rows) => rows.length > 0);
}
