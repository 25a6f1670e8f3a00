/**
 * For providers that keep whole record sets: which of them to write and which to remove, in an order in which no alias
 * stands in the way. Pure; called by some files in providers/.
 */
import { excludeEachOther, isSameName, type RecordSet, sameValues } from "./record-set.ts";

export type SetChange = Readonly<{
  set: RecordSet;
  /** What is there now. */
  old: RecordSet | undefined;
}>;

export type SetChanges = Readonly<{
  /** Stand in the way of what is written. */
  removeFirst: readonly RecordSet[];
  write: readonly SetChange[];
  remove: readonly RecordSet[];
}>;

/** `current`: at least the sets of the same names and types; `ttlOf`: what the provider makes of a TTL. */
export function setChanges(
  current: readonly RecordSet[],
  wanted: readonly RecordSet[],
  ttlOf: (seconds: number) => number = (seconds) => seconds,
): SetChanges {
  const pairs = wanted.map((set): SetChange => {
    const old = current.find((one) => isSameName(one, set));
    return { set: { ...set, ttl: ttlOf(set.ttl) }, old };
  });
  const write = pairs.filter(
    ({ set, old }) =>
      set.values.length > 0 && !(old !== undefined && old.ttl === set.ttl && sameValues(set, old)),
  );
  const gone = pairs.filter(({ set, old }) => set.values.length === 0 && old !== undefined);
  const isInTheWay = ({ name, type }: RecordSet) =>
    write.some(({ set }) => set.name === name && excludeEachOther(set.type, type));
  const sets = gone.map(({ set }) => set);
  return { write, removeFirst: sets.filter(isInTheWay), remove: sets.filter((set) => !isInTheWay(set)) };
}
