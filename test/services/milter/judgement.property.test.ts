/** The judgement against the reference judge: messages of every kind, and all that can be wrong with them. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_CASE_MILLISECONDS, timed } from "./cpu-limit.ts";
import { joinRequest, madeMessages } from "./made-messages.ts";
import { pickFrom } from "./mutation.ts";
import { mutations } from "./mutations.ts";
import { referenceVerdict } from "./reference-judge.ts";
import { judgeWhole, takeApart } from "./whole-message.ts";

/** The same messages in every run; `npm run fuzz` looks for new ones. */
const SEED = 1847;
const RUNS = 4000;

let seeds: string[];

beforeAll(async () => {
  seeds = [...(await madeMessages()).values(), joinRequest];
});

describe("the judgement", () => {
  it(`is the reference's about messages with up to three things wrong (${RUNS} of seed ${SEED})`, async () => {
    const twist = fc.record({
      mutation: fc.constantFrom(...mutations),
      picks: fc.array(fc.nat(0xffff_ffff), { minLength: 6, maxLength: 6 }),
    });
    let accepted = 0;
    const property = fc.asyncProperty(
      fc.nat(),
      fc.array(twist, { maxLength: 3 }),
      fc.boolean(),
      fc.array(fc.nat(3000), { maxLength: 3 }),
      async (seed, twists, allowVersion, cuts) => {
        let text = seeds[seed % seeds.length]!;
        for (const { mutation, picks } of twists) text = mutation[1](text, pickFrom(picks));
        const message = takeApart(Buffer.from(text, "latin1"));
        const places = cuts.filter((cut) => cut < message.body.length).sort((a, b) => a - b);
        const { result, milliseconds } = await timed(() => judgeWhole(message, allowVersion, places));
        const { verdict } = result;
        expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
        if (verdict.kind !== "unencrypted") accepted++;
        expect(verdict.kind, JSON.stringify(verdict)).toBe(await referenceVerdict(message, allowVersion));
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: RUNS });
    // A property about refusals only would say nothing.
    expect(accepted).toBeGreaterThan(RUNS / 10);
    expect(accepted).toBeLessThan(RUNS * 0.9);
  }, 120_000);
});
