import { beforeEach, describe, expect, it } from "vitest";
import { createProofs, type Proofs } from "../../../services/auth/proof-of-work.ts";
import { solvePuzzle } from "./solve-puzzle.ts";

const FEW_BITS = 4;

describe("proofs of work", () => {
  let now: number;
  let proofs: Proofs;
  beforeEach(() => {
    now = 1_800_000_000;
    proofs = createProofs(() => now, FEW_BITS);
  });

  it("count once", () => {
    const proof = solvePuzzle(proofs.puzzle());
    // Two requests may both find it good: only one spends it.
    const [first, second] = [proofs.check(proof), proofs.check(proof)];
    expect(first?.spend()).toBe(true);
    expect(second?.spend()).toBe(false);
    expect(proofs.check(proof)).toBeUndefined();
  });

  it("take 14 bits a round on a relay", () => {
    const usual = createProofs(() => now);
    expect(usual.puzzle()).toMatchObject({ rounds: 16, bits: 14 });
    expect(usual.check(solvePuzzle({ ...usual.puzzle(), bits: 4 }))).toBeUndefined();
    expect(usual.check(solvePuzzle(usual.puzzle()))?.spend()).toBe(true);
  });

  it("expire after a quarter of an hour", () => {
    const proof = solvePuzzle(proofs.puzzle());
    now += 899;
    expect(proofs.check(proof)).toBeDefined();
    now += 1;
    expect(proofs.check(proof)).toBeUndefined();
  });

  it("count only where their challenge was made", () => {
    const proof = solvePuzzle(createProofs(() => now, FEW_BITS).puzzle());
    expect(proofs.check(proof)).toBeUndefined();
  });

  it("are refused when anything of them is changed", () => {
    const puzzle = proofs.puzzle();
    const proof = solvePuzzle(puzzle);
    const [challenge, solution] = proof.split("~") as [string, string];
    const last = challenge.at(-1)!;
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const otherSpelling = alphabet[alphabet.indexOf(last) ^ 1]!;
    for (const changed of [
      "",
      "~",
      challenge,
      `${challenge}~`,
      `~${solution}`,
      `${proof}~`,
      `${proof}-0`,
      `${proof}-`,
      proof.slice(0, proof.lastIndexOf("-")),
      `${challenge.slice(0, -1)}${otherSpelling}~${solution}`,
      // The date further ahead.
      `B${proof.slice(1)}`,
      `${challenge}=~${solution}`,
      `${challenge}~${solution.toUpperCase()}!`,
      `${challenge}~${solution.split("-").toReversed().join("-")}`,
      "x".repeat(100_000),
      `${challenge}~${"1-".repeat(50_000)}`,
    ]) {
      expect(proofs.check(changed), changed.slice(0, 80)).toBeUndefined();
    }
    expect(proofs.check(proof)?.spend()).toBe(true);
  });
});
