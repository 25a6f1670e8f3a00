/** Every message, header or stream that ever mattered, with the outcome it must have (test/corpus). */
import { describe, expect, it } from "vitest";
import { readCorpus } from "../../fuzz/corpus.ts";
import { targets } from "../../fuzz/targets.ts";

describe("the corpus", () => {
  it.each(readCorpus().map((one) => [`${one.file}: ${one.why}`, one] as const))(
    "%s",
    async (_name, { target: name, expected, input }) => {
      const target = targets.find((one) => one.name === name);
      expect(target, `the target ${name}`).toBeDefined();
      expect(await target!.judge(input)).toEqual({ outcome: expected, contradiction: null });
    },
  );
});
