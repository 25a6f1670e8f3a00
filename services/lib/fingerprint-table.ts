/**
 * A set of fingerprints, 8 bytes each, in an array: a Set would take ten times that. Nothing is ever taken out. Called by
 * services/door and services/web.
 */

export type FingerprintTable = Readonly<{
  count: () => number;
  has: (fingerprint: bigint) => boolean;
  add: (fingerprint: bigint) => void;
}>;

/** @param capacity as many as will be added at most; half of the slots stay empty, so that a search ends soon. */
export function createFingerprintTable(capacity: number): FingerprintTable {
  const slots = new BigUint64Array(2 * capacity);
  let count = 0;
  /** 0 marks an empty slot, so it stands for 1. */
  const slotValue = (fingerprint: bigint) => fingerprint || 1n;
  /** Where it stands, or would. */
  const find = (value: bigint): number => {
    let slot = Number(value % BigInt(slots.length));
    while (slots[slot] !== 0n && slots[slot] !== value) slot = (slot + 1) % slots.length;
    return slot;
  };
  return {
    count: () => count,
    has: (fingerprint) => slots[find(slotValue(fingerprint))] !== 0n,
    add: (fingerprint) => {
      const value = slotValue(fingerprint);
      const slot = find(value);
      if (slots[slot] !== 0n) return;
      if (count >= capacity) throw new RangeError("the table of fingerprints is full");
      slots[slot] = value;
      count++;
    },
  };
}
