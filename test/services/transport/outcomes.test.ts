/** What is kept for Postfix's second offer and for its next attempt. */
import { expect, it } from "vitest";
import { createOutcomes } from "../../../services/transport/outcomes.ts";

const [alice, bob] = ["alice@a.example", "bob@b.example"];
const unknown = { code: 550, text: "5.1.1 User unknown" };
const full = { code: 552, text: "5.2.2 full" };

it("tells a refusal once for each message, and only when it was meant", () => {
  const outcomes = createOutcomes(() => 0);
  outcomes.refused("second offer", alice, bob, unknown);
  outcomes.refused("second offer", alice, bob, full);
  expect(outcomes.takeRefusal("next attempt", alice, bob)).toBeUndefined();
  expect(outcomes.takeRefusal("second offer", "eve@a.example", bob)).toBeUndefined();
  const take = () => outcomes.takeRefusal("second offer", alice, bob);
  expect([take(), take(), take()]).toEqual([unknown, full, undefined]);
});

it.each([
  ["second offer", 2],
  ["next attempt", 40],
] as const)("forgets a refusal that was not heard at the %s within %i minutes", (when, minutes) => {
  let now = 0;
  const outcomes = createOutcomes(() => now);
  outcomes.refused(when, alice, bob, unknown);
  now = 1000;
  outcomes.refused(when, alice, bob, full);
  now = minutes * 60_000;
  expect(outcomes.takeRefusal(when, alice, bob)).toEqual(full);
  outcomes.refused(when, alice, bob, unknown);
  now += minutes * 60_000;
  expect(outcomes.takeRefusal(when, alice, bob)).toBeUndefined();
});

it("keeps few for one address, the last ones", () => {
  const outcomes = createOutcomes(() => 0);
  for (let i = 0; i < 150; i++) outcomes.refused("second offer", alice, bob, { code: 550, text: `${i}` });
  expect(outcomes.takeRefusal("second offer", alice, bob)?.text).toBe("50");
});
