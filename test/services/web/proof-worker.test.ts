/** The browser's half of the proofs of work, judged by the server's. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createProofs, type Puzzle } from "../../../services/auth/proof-of-work.ts";
import { solvePuzzle } from "../auth/solve-puzzle.ts";

const program = await readFile(join(import.meta.dirname, "../../../web/proof-worker.js"), "utf8");

/** What the worker says of a puzzle, in order. */
function work(puzzle: Puzzle): unknown[] {
  const said: unknown[] = [];
  const self: { onmessage?: (event: { data: Puzzle }) => void; postMessage(message: unknown): void } = {
    postMessage: (message) => said.push(message),
  };
  runInNewContext(program, { self });
  self.onmessage!({ data: puzzle });
  return said;
}

describe("the worker that solves puzzles", () => {
  it("tells how far it is, and finds the smallest numbers that the server takes", () => {
    const proofs = createProofs(() => 1_800_000_000);
    const puzzle = proofs.puzzle();
    const said = work(puzzle);
    const { proof } = said.pop() as { proof: string };
    expect(said).toEqual(Array.from({ length: puzzle.rounds }, (_, round) => ({ solved: round + 1 })));
    // The same as by another SHA-256, straight from the description.
    expect(proof).toBe(solvePuzzle(puzzle));
    expect(proofs.check(proof)?.spend()).toBe(true);
  });
});
