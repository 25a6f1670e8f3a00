/** That no unit of a relay may take all of the memory, and what goes first when there is none left. */
import { describe, expect, it } from "vitest";
import { dropIns } from "../../../appliance/files/debian-units.ts";
import { homingUnits } from "../../../appliance/files/units.ts";

const texts = { ...homingUnits(), ...dropIns() };
/** Nothing that comes from outside reaches these. */
const spared = ["nftables.service", "systemd-udevd.service", "systemd-udev-trigger.service"];
const services = Object.entries(texts).filter(
  ([name, text]) => /^\[(Service|Slice)\]$/m.test(text) && !spared.includes(name),
);
const value = (text: string, key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1];
const score = (name: string) => Number(value(texts[name]!, "OOMScoreAdjust") ?? 0);

describe("the units of a relay", () => {
  it.each(services)("%s has a limit of memory that leaves room for others", (_name, text) => {
    const limit = value(text, "MemoryMax") ?? "";
    expect(limit).toMatch(/^(\d\d%|\d\dM)$/);
    expect(limit.endsWith("%") ? Number.parseInt(limit, 10) : 0).toBeLessThanOrEqual(40);
  });

  it("let go of errands first, then of what is tried again, last of what a login needs", () => {
    const ranks = [
      ["homing-certificates.service", "homing-dkim.service"],
      ["homing-web.service", "homing-courier.service", "homing-milter.service"],
      ["postfix.service", "dovecot.service"],
      ["homing-auth.service", "systemd-networkd.service"],
    ].map((names) => new Set(names.map(score)));
    expect(ranks.map(({ size }) => size)).toEqual([1, 1, 1, 1]);
    const order = ranks.map((scores) => [...scores][0]!);
    expect(order).toEqual(order.toSorted((a, b) => b - a));
    expect(new Set(order).size).toBe(order.length);
  });
});
