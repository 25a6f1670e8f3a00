import { beforeEach, describe, expect, it } from "vitest";
import { createSignUpLimits, type SignUpLimits } from "../../../services/auth/sign-up-limits.ts";

describe("limits of sign-up", () => {
  let now: number;
  let limits: SignUpLimits;
  beforeEach(() => {
    now = 0;
    limits = createSignUpLimits({ networkBurst: 50, networkPerHour: 30 }, () => now);
  });

  /** How many of `tries` may make an account. */
  const make = (client: (i: number) => string, tries: number): number => {
    let made = 0;
    for (let i = 0; i < tries; i++) if (limits.take(client(i)) !== undefined) made += 1;
    return made;
  };

  it("let an address make its burst, then so many an hour", () => {
    expect(make(() => "192.0.2.1", 1_000)).toBe(50);
    now += 120_000 - 1;
    expect(make(() => "192.0.2.1", 1_000)).toBe(0);
    now += 1;
    expect(make(() => "192.0.2.1", 1_000)).toBe(1);
    now += 3_600_000;
    expect(make(() => "192.0.2.1", 1_000)).toBe(30);
    now += 24 * 3_600_000;
    expect(make(() => "192.0.2.1", 1_000)).toBe(50);
    expect(make(() => "192.0.2.2", 1_000)).toBe(50);
  });

  it("count an IPv6 /64 as one, and a /48 as ten", () => {
    expect(make((i) => `2001:db8:1:1::${i.toString(16)}`, 1_000)).toBe(50);
    expect(make((i) => `2001:db8:1:2::${i.toString(16)}`, 1_000)).toBe(50);
    expect(make((i) => `2001:db8:1:${i.toString(16)}::1`, 65_536)).toBe(400);
    expect(make(() => "2001:db8:2:1::1", 1_000)).toBe(50);
  });

  it("count whoever has no address as one", () => {
    expect(make((i) => ["", "unknown", "300.1.1.1"][i % 3]!, 1_000)).toBe(50);
  });

  it("give back what was not used", () => {
    for (let i = 0; i < 200; i++) limits.take("192.0.2.1")?.();
    expect(make(() => "192.0.2.1", 1_000)).toBe(50);
  });
});
