import { describe, expect, it } from "vitest";
import { inventName, inventPassword, inventToken, isToken } from "../../../services/auth/invention.ts";

/** Of 35 degrees of freedom, what chance exceeds once in 10^9 runs (chi-squared distribution). */
const CHI_SQUARED_LIMIT = 117;

describe("what the relay invents", () => {
  it("names have the wanted length, and each letter and digit as often as any other", () => {
    const counts = new Map<string, number>();
    const names = Array.from({ length: 20_000 }, () => inventName(9));
    for (const name of names) {
      expect(name).toMatch(/^[a-z0-9]{9}$/);
      for (const letter of name) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
    expect(new Set(names).size).toBe(names.length);
    expect(counts.size).toBe(36);
    const expected = (20_000 * 9) / 36;
    const chiSquared = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chiSquared).toBeLessThan(CHI_SQUARED_LIMIT);
    expect(inventName(1)).toHaveLength(1);
    expect(inventName(64)).toHaveLength(64);
  });

  it("passwords carry 256 bits, tokens 144", () => {
    expect(Buffer.from(inventPassword(), "base64url")).toHaveLength(32);
    expect(Buffer.from(inventToken(), "base64url")).toHaveLength(18);
    expect(isToken(inventToken())).toBe(true);
    for (const text of ["", "x", "a".repeat(23), `${"a".repeat(23)}/`, `${"a".repeat(24)}\n`, "a".repeat(25)])
      expect(isToken(text), text).toBe(false);
  });
});
