/** Tests of the comparison of Debian versions, with dpkg as the judge where it is at hand. */
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareVersions } from "../../../image/packages/version.ts";

describe("compareVersions", () => {
  // From oldest to newest.
  it.each([
    ["1.0~rc1-1", "1.0-1"],
    ["1.0-1~bpo13+1", "1.0-1"],
    ["1.0-1", "1.0-1+deb13u1"],
    ["1.0-1+deb13u9", "1.0-1+deb13u10"],
    ["1.0", "1.0a"],
    ["1.0a", "1.0+b1"],
    ["9.9", "1:0.1"],
    ["1.2-3", "1.2-3.1"],
    ["1.09", "1.10"],
    ["2.4.1+dfsg1-6+deb13u2", "2.4.1+dfsg1-6+deb13u10"],
    ["1-2-3", "1-2-4"],
    ["1~~", "1~"],
    ["6.12.107-1", "6.12.117-1"],
    ["99999999999999999998", "99999999999999999999"],
  ])("takes %s for older than %s", (older, newer) => {
    expect(compareVersions(older, newer)).toBeLessThan(0);
    expect(compareVersions(newer, older)).toBeGreaterThan(0);
    expect(compareVersions(newer, newer)).toBe(0);
  });

  it.each([
    ["0:1.0", "1.0"],
    ["1.0", "1.0-0"],
    ["1.01", "1.1"],
    ["1.", "1.0"],
  ])("takes %s and %s for equal", (a, b) => {
    expect(compareVersions(a, b)).toBe(0);
  });

  const hasDpkg = spawnSync("dpkg", ["--version"]).status === 0;
  it.skipIf(!hasDpkg)("agrees with dpkg on any two versions (skipped where there is no dpkg)", () => {
    const version = fc.stringMatching(/^([0-2]:)?[0-9][0-9a-zA-Z.+~]{0,6}(-[0-9a-zA-Z.+~]{1,5})?$/);
    fc.assert(
      fc.property(version, version, (a, b) => {
        const order = Math.sign(compareVersions(a, b));
        const relation = order < 0 ? "lt" : order > 0 ? "gt" : "eq";
        expect(
          spawnSync("dpkg", ["--compare-versions", a, relation, b]).status,
          `${a} ${relation} ${b}`,
        ).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
