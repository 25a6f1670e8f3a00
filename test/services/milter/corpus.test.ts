/** Every message, header or stream that ever mattered, with the outcome it must have (test/corpus). */
import { describe, expect, it } from "vitest";
import { readCorpus } from "../../fuzz/corpus.ts";
import { targets } from "../../fuzz/targets.ts";
import { MAX_CASE_MILLISECONDS, timed } from "./cpu-limit.ts";

describe("the corpus", () => {
  it.each(readCorpus().map((one) => [`${one.file}: ${one.why}`, one] as const))(
    "%s",
    async (_name, { target: name, expected, input }) => {
      const target = targets.find((one) => one.name === name);
      expect(target, `the target ${name}`).toBeDefined();
      const { result, milliseconds } = await timed(() => target!.judge(input));
      expect(result).toEqual({ outcome: expected, contradiction: null });
      expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
    },
  );
});
