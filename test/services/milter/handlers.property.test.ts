/**
 * The handlers of both directions against their reference: envelope, header and body of every kind, with up to three
 * things wrong, to the reply that the client gets and the header that goes on.
 */

import fc from "fast-check";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_CASE_MILLISECONDS } from "./cpu-limit.ts";
import { nameServer } from "./dkim-message.ts";
import { handledMessages, pickDelivery, pickSubmission, readDelivery, readSubmission } from "./envelopes.ts";
import { type Handled, handleDelivery, handleSubmission, outgoingKey } from "./handled-message.ts";
import { pickFrom } from "./mutation.ts";
import { mutations } from "./mutations.ts";
import { headerMutations } from "./mutations-header.ts";
import { coveredFields, expectedOfDelivery, expectedOfSubmission } from "./reference-handlers.ts";
import { compose } from "./whole-message.ts";

/** The same messages in every run; `npm run fuzz` looks for new ones. */
const SEED = 1848;
const RUNS = 2500;

let seeds: readonly string[];

beforeAll(async () => {
  seeds = await handledMessages();
});

const picks = fc.array(fc.nat(0xffff_ffff), { minLength: 6, maxLength: 6 });
const twist = fc.record({
  // These are few among all, and what the handlers add to the judge.
  mutation: fc.oneof(fc.constantFrom(...mutations), fc.constantFrom(...headerMutations)),
  picks,
});
const cases = [
  picks,
  fc.nat(),
  fc.array(twist, { maxLength: 3 }),
  fc.array(fc.nat(3000), { maxLength: 3 }),
] as const;

type Twist = Readonly<{ mutation: (typeof mutations)[number]; picks: number[] }>;

function inputOf(envelope: string, seed: number, twists: readonly Twist[]): string {
  let text = seeds[seed % seeds.length]!;
  for (const { mutation, picks } of twists) text = mutation[1](text, pickFrom(picks));
  return `${envelope}\n${text}`;
}

const places = (cuts: readonly number[], length: number) =>
  cuts.filter((cut) => cut < length).sort((a, b) => a - b);

/** Runs the property and looks at what came out of it: one about refusals only would say nothing. */
async function hold(property: fc.IAsyncProperty<unknown>, outcomes: Map<string, number>): Promise<void> {
  await fc.assert(property, { seed: SEED, numRuns: RUNS });
  const accepted = [...outcomes].reduce(
    (sum, [outcome, count]) => sum + (outcome.startsWith("acc") ? count : 0),
    0,
  );
  expect(accepted).toBeGreaterThan(RUNS / 10);
  expect(accepted).toBeLessThan(RUNS * 0.9);
}

function note(outcomes: Map<string, number>, { outcome, milliseconds }: Handled): void {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
}

describe(`the handlers answer as their reference does (${RUNS} messages of seed ${SEED})`, () => {
  it("to what accounts submit, cover its header and sign it", async () => {
    const { resolveTxt } = nameServer({ "s1._domainkey.a.test": [`v=DKIM1;k=rsa;p=${outgoingKey}`] });
    const outcomes = new Map<string, number>();
    const property = fc.asyncProperty(...cases, async (envelope, seed, twists, cuts) => {
      const submission = readSubmission(inputOf(pickSubmission(pickFrom(envelope)), seed, twists));
      const handled = await handleSubmission(submission, places(cuts, submission.message.body.length));
      note(outcomes, handled);
      expect(await expectedOfSubmission(submission)).toContain(handled.outcome);
      if (handled.fields === null) return;
      const [[name], ...others] = handled.fields as [[string, string], ...[string, string][]];
      expect(name).toBe("DKIM-Signature");
      expect(others.map(([name, value]) => [name.trimEnd(), value])).toEqual(
        coveredFields(submission.message.fields),
      );
      const sent = compose({ fields: handled.fields, body: submission.message.body });
      const { results } = await dkimVerify(sent, { resolver: resolveTxt });
      expect(
        results.some(({ status }) => status.result === "pass"),
        JSON.stringify(results),
      ).toBe(true);
    });
    await hold(property, outcomes);
    expect([...outcomes.keys()].sort()).toEqual([
      "500 Invalid FROM",
      "523 Encryption Needed: Invalid Unencrypted Mail",
      "530 5.7.0 Authentication required",
      "552 5.3.4 Message header exceeds maximum size",
      "553 5.7.1",
      "accepted",
    ]);
  }, 120_000);

  it("to what other servers send", async () => {
    const outcomes = new Map<string, number>();
    const property = fc.asyncProperty(...cases, async (envelope, seed, twists, cuts) => {
      const delivery = readDelivery(inputOf(pickDelivery(pickFrom(envelope)), seed, twists));
      const handled = await handleDelivery(delivery, places(cuts, delivery.message.body.length));
      note(outcomes, handled);
      expect(await expectedOfDelivery(delivery), JSON.stringify(delivery.message.fields)).toContain(
        handled.outcome,
      );
    });
    await hold(property, outcomes);
    expect([...outcomes.keys()].sort()).toEqual([
      "451 4.4.3 DKIM key lookup failed, try again later",
      "500 Invalid FROM",
      "523 Encryption Needed: Invalid Unencrypted Mail",
      "552 5.3.4 Message header exceeds maximum size",
      "554 5.7.1 Address literal is not the client's address",
      "554 5.7.1 No DKIM signature found",
      "554 5.7.1 No valid DKIM signature found",
      "accepted",
      "accepted, empty sender",
    ]);
  }, 120_000);
});
