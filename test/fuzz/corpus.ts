/**
 * The corpus: every input that ever mattered, one JSON file a case in test/corpus. Ring 1 runs all of them
 * (test/services/milter/corpus.test.ts), the fuzzer begins with them and adds what it finds.
 *
 *   { "target", "expected": the outcome, "why", "input": the lines of a binary string, line ends included }
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "..", "corpus");

export type CorpusCase = Readonly<{
  file: string;
  target: string;
  expected: string;
  why: string;
  input: string;
}>;

export function readCorpus(): CorpusCase[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => {
      const { target, expected, why, input } = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
        target: string;
        expected: string;
        why: string;
        input: string[];
      };
      return { file, target, expected, why, input: input.join("") };
    });
}

/** Writes a case under a name made of its target and content; the path. */
export function writeCase(one: Omit<CorpusCase, "file">): string {
  const digest = createHash("sha256").update(one.input, "latin1").digest("hex").slice(0, 8);
  const path = join(folder, `${one.target.replaceAll(" ", "-")}-${digest}.json`);
  const input = one.input.split(/(?<=\n)/);
  writeFileSync(path, `${JSON.stringify({ ...one, input }, null, 2)}\n`);
  return path;
}
