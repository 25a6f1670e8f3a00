import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBuckets } from "../../../services/auth/buckets.ts";

describe("buckets", () => {
  it("give their burst at once, then a token per interval", () => {
    const buckets = createBuckets({ burst: 3, refillMs: 100, limit: 10 });
    for (let i = 0; i < 3; i++) {
      expect(buckets.has("a", 0)).toBe(true);
      buckets.take("a", 0);
    }
    expect(buckets.has("a", 0)).toBe(false);
    expect(buckets.has("a", 99)).toBe(false);
    expect(buckets.has("a", 100)).toBe(true);
    expect(buckets.has("b", 0)).toBe(true);
    buckets.giveBack("a", 0);
    expect(buckets.has("a", 0)).toBe(true);
  });

  it("never give more than the burst and what came back since, and hold no full bucket", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { minLength: 1, maxLength: 100 }), (pauses) => {
        const buckets = createBuckets({ burst: 4, refillMs: 100, limit: 10 });
        let now = 0;
        let taken = 0;
        for (const pause of pauses) {
          now += pause;
          if (!buckets.has("a", now)) continue;
          buckets.take("a", now);
          taken += 1;
        }
        expect(taken).toBeLessThanOrEqual(4 + now / 100);
        buckets.giveBack("a", now + 1_000);
        expect(buckets.size()).toBe(0);
      }),
    );
  });

  it("stay bounded and forget whoever was touched longest ago", () => {
    const buckets = createBuckets({ burst: 1, refillMs: 1_000, limit: 3 });
    for (const name of ["a", "b", "c", "d"]) buckets.take(name, 0);
    expect(buckets.size()).toBe(3);
    expect(["a", "b", "c", "d"].map((name) => buckets.has(name, 0))).toEqual([true, false, false, false]);
  });
});
