/**
 * Token buckets by name, bounded in number: how often something may happen, with a burst (the generic cell
 * rate algorithm, ITU-T I.371 Annex A). Used by guess-limits.ts and sign-up-limits.ts.
 */

export type BucketOptions = Readonly<{
  /** Tokens in a full bucket. */
  burst: number;
  /** Milliseconds until one token comes back. */
  refillMs: number;
  /** Buckets remembered; beyond, the one longest untouched is forgotten, and is full when it comes again. */
  limit: number;
}>;

export type Buckets = Readonly<{
  /** Whether `name` has a token at `now` (milliseconds of any steady clock). */
  has(name: string, now: number): boolean;
  /** Milliseconds until `name` has one; 0 when it has. */
  wait(name: string, now: number): number;
  /** Takes a token. Call only when there is one. */
  take(name: string, now: number): void;
  /** Undoes a take. */
  giveBack(name: string, now: number): void;
  size(): number;
}>;

export function createBuckets({ burst, refillMs, limit }: BucketOptions): Buckets {
  // When each bucket is full again. A Map keeps the order of insertion: the first is the longest untouched.
  const fullAt = new Map<string, number>();
  const set = (name: string, time: number, now: number): void => {
    fullAt.delete(name);
    // A full bucket is as good as none.
    if (time <= now) return;
    fullAt.set(name, time);
    for (const oldest of fullAt.keys()) {
      if (fullAt.size <= limit) break;
      fullAt.delete(oldest);
    }
  };
  const at = (name: string, now: number): number => Math.max(fullAt.get(name) ?? now, now);
  const wait = (name: string, now: number): number =>
    Math.max(0, at(name, now) - now - (burst - 1) * refillMs);
  return {
    has: (name, now) => wait(name, now) === 0,
    wait,
    take: (name, now) => set(name, at(name, now) + refillMs, now),
    giveBack: (name, now) => set(name, at(name, now) - refillMs, now),
    size: () => fullAt.size,
  };
}
