/** When a resolver's failure counts against a zone's signatures (installer/dns/dnssec.ts), with a resolver of words. */
import { describe, expect, it } from "vitest";
import { dnssecOf } from "../../../installer/dns/dnssec.ts";
import { type DnsAnswer, outcomes } from "../../../installer/dns/message.ts";
import type { AskResolver } from "../../../installer/dns/resolver.ts";

const answer = (outcome: number, verified = false, ...codes: number[]) =>
  ({
    outcome,
    verified,
    explanations: codes.map((code) => ({ code, text: `code ${code}` })),
  }) as unknown as DnsAnswer;
const failure = (...codes: number[]) => answer(outcomes.serverFailure, false, ...codes);

/** A resolver that gives these when it checks signatures, one after another, and all without. */
async function heard(...checked: DnsAnswer[]) {
  let asked = 0;
  const resolver: AskResolver = async (_, { unchecked = false } = {}) =>
    unchecked ? answer(outcomes.none) : checked[asked++]!;
  const world = { port: 1, parentAddresses: [], addresses: [], resolver, outside: resolver, now: 0 };
  const { state } = await dnssecOf("a.test", world);
  return [state, asked];
}

describe("a resolver that fails while it checks signatures", () => {
  it("is asked again, for a server may just have been slow", async () => {
    expect(await heard(failure(), answer(outcomes.none, true))).toEqual(["valid", 2]);
    expect(await heard(failure(), answer(outcomes.none))).toEqual(["unknown", 2]);
  });

  it("is believed when it says that it is the signatures, and when it fails again without a word", async () => {
    expect(await heard(failure(6))).toEqual(["broken", 1]);
    expect(await heard(failure(12))).toEqual(["broken", 1]);
    expect(await heard(failure(), failure())).toEqual(["broken", 2]);
    expect(await heard(failure(0), failure(0))).toEqual(["broken", 2]);
  });

  it("is not believed when it says that it is something else", async () => {
    expect(await heard(failure(22), failure(22, 23))).toEqual(["unknown", 2]);
    expect(await heard(failure(5), failure(13))).toEqual(["unknown", 2]);
  });
});
