/** Suggestions for mistyped names (appliance/nearest.ts). */
import { describe, expect, it } from "vitest";
import { nearestName } from "../../appliance/nearest.ts";

const names = ["init", "build", "vm", "lock", "local_part_min_length", "local_part_max_length"];

describe("nearestName", () => {
  it.each([
    ["inti", "init"],
    ["biuld", "build"],
    ["lokc", "lock"],
    ["VM", "vm"],
    ["localPartMinLength", "local_part_min_length"],
    ["local-part-max-lenght", "local_part_max_length"],
  ])("takes “%s” for “%s”", (given, expected) => {
    expect(nearestName(given, names)).toBe(expected);
  });

  it.each(["", "x", "frobnicate", "zz"])("suggests nothing for “%s”", (given) => {
    expect(nearestName(given, names)).toBeUndefined();
  });
});
