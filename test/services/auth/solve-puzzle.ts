/** Solves the puzzles of services/auth/proof-of-work.ts, straight from their description. For tests. */
import { createHash } from "node:crypto";
import type { Puzzle } from "../../../services/auth/proof-of-work.ts";

export function solvePuzzle({ challenge, rounds, bits }: Puzzle): string {
  const numbers = Array.from({ length: rounds }, (_, round) => {
    for (let number = 0; ; number++) {
      const text = `${challenge}.${round}.${number.toString(36)}`;
      const begin = createHash("sha256").update(text).digest().readUInt32BE(0);
      if (begin < 2 ** (32 - bits)) return number.toString(36);
    }
  });
  return `${challenge}~${numbers.join("-")}`;
}
