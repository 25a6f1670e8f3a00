/**
 * A bounded map whose entries belong to somebody: when it is full, whoever has most of it loses the entry he did not
 * use for longest, so that nobody pushes out what belongs to others while they have less. Called by key-lookup.ts.
 */

export type FairCache<Value> = Readonly<{
  /** Counts as a use. */
  get(key: string): Value | undefined;
  /** Keeps the value as this owner's, whosever it was before. */
  set(key: string, owner: string, value: Value): void;
  delete(key: string): void;
}>;

/** @param most entries kept; making room looks at every owner once, and there are no more of them than entries */
export function createFairCache<Value>(most: number): FairCache<Value> {
  const owners = new Map<string, string>();
  /** Who used the cache last stands last, and so do the entries of each. */
  const shares = new Map<string, Map<string, Value>>();

  const remove = (key: string): void => {
    const owner = owners.get(key);
    if (owner === undefined) return;
    const share = shares.get(owner)!;
    share.delete(key);
    if (share.size === 0) shares.delete(owner);
    owners.delete(key);
  };

  const put = (key: string, owner: string, value: Value): void => {
    const share = shares.get(owner) ?? new Map<string, Value>();
    shares.delete(owner);
    shares.set(owner, share);
    share.delete(key);
    share.set(key, value);
    owners.set(key, owner);
  };

  const makeRoom = (): void => {
    let largest: Map<string, Value> | undefined;
    for (const share of shares.values()) if (share.size > (largest?.size ?? 0)) largest = share;
    remove(largest!.keys().next().value!);
  };

  return {
    get(key) {
      const owner = owners.get(key);
      if (owner === undefined) return undefined;
      const value = shares.get(owner)!.get(key)!;
      put(key, owner, value);
      return value;
    },
    set(key, owner, value) {
      remove(key);
      if (owners.size >= most) makeRoom();
      put(key, owner, value);
    },
    delete: remove,
  };
}
