import { beforeEach, describe, expect, it } from "vitest";
import { createSignUpLimits, type SignUpLimits } from "../../../services/auth/sign-up-limits.ts";

describe("limits of sign-up", () => {
  let now: number;
  let limits: SignUpLimits;
  beforeEach(() => {
    now = 0;
    limits = createSignUpLimits(
      { networkBurst: 50, networkPerHour: 30, relayBurst: 1_000, relayPerHour: 3_600 },
      () => now,
    );
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

  it("let all networks together make their burst, then so many an hour, and say how long to wait", () => {
    expect(make((i) => `10.0.${i >> 8}.${i & 255}`, 2_000)).toBe(1_000);
    expect(limits.wait("192.0.2.1")).toBe(1_000);
    now += 999;
    expect(limits.wait("192.0.2.1")).toBe(1);
    expect(make(() => "192.0.2.1", 10)).toBe(0);
    now += 1;
    expect(limits.wait("192.0.2.1")).toBe(0);
    expect(make(() => "192.0.2.1", 10)).toBe(1);
    // A network at its own limit takes nothing from the others.
    now += 100_000;
    make(() => "192.0.2.9", 10_000);
    expect(limits.wait("192.0.2.9")).toBe(120_000);
    expect(limits.wait("192.0.2.2")).toBe(0);
  });

  it("let those who worked for it in beyond, a network's allowance once more", () => {
    make((i) => `10.0.${i >> 8}.${i & 255}`, 2_000);
    let made = 0;
    for (let i = 0; i < 200; i++) if (limits.takeProven("192.0.2.1") !== undefined) made += 1;
    expect(made).toBe(50);
    expect(limits.waitProven("192.0.2.1")).toBe(120_000);
    expect(limits.waitProven("192.0.2.2")).toBe(0);
    limits.takeProven("192.0.2.2")?.();
    expect(limits.wait("192.0.2.2")).toBe(1_000);
  });
});
