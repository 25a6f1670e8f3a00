import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createRateLimit } from "../../../services/milter/rate-limit.ts";

describe("the rate limit", () => {
  it("allows a burst, then one message an interval", () => {
    const limit = createRateLimit({ perMinute: 60, burst: 10 });
    expect(Array.from({ length: 12 }, () => limit.take("a", 0)).filter(Boolean)).toHaveLength(10);
    expect(limit.take("a", 999)).toBe(false);
    expect(limit.take("a", 1000)).toBe(true);
    expect(limit.take("a", 1001)).toBe(false);
    expect(limit.take("b", 1001)).toBe(true);
  });

  it("agrees with a leaky bucket for every account, however many there are", () => {
    const step = fc.record({ account: fc.constantFrom("a", "b", "c"), wait: fc.nat(5000) });
    const settings = fc.record({
      perMinute: fc.constantFrom(1, 30, 60, 120),
      burst: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(settings, fc.array(step, { maxLength: 200 }), ({ perMinute, burst }, steps) => {
        const limit = createRateLimit({ perMinute, burst });
        const buckets = new Map<string, { filled: number; at: number }>();
        let now = 0;
        for (const { account, wait } of steps) {
          now += wait;
          // A bucket of `burst` messages, in units of a message's interval, leaking one unit per unit of time.
          const interval = 60_000 / perMinute;
          const { filled, at } = buckets.get(account) ?? { filled: 0, at: now };
          const left = Math.max(0, filled - (now - at));
          const fits = left + interval <= burst * interval;
          expect(limit.take(account, now)).toBe(fits);
          buckets.set(account, { filled: fits ? left + interval : left, at: now });
        }
      }),
    );
  });

  it("forgets accounts whose limit is restored, and never remembers too many", () => {
    const limit = createRateLimit({ perMinute: 60, burst: 10 });
    for (let account = 0; account < 1000; account++) limit.take(`early ${account}`, account);
    expect(limit.size()).toBe(1000);
    limit.take("late", 10_000);
    expect(limit.size()).toBe(1);
    for (let account = 0; account < 150_000; account++) limit.take(`many ${account}`, 10_000);
    expect(limit.size()).toBeLessThanOrEqual(100_000);
  });
});
