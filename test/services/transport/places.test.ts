/** Places for deliveries by HTTPS: who gets one, who must give it up, and that fast mail never lacks one. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  type Applicant,
  createPlaces,
  MAX_DOUBTFUL_MESSAGES,
  MAX_DOUBTFUL_MESSAGES_OF_SENDER,
  MAX_SLOW,
  MAX_SLOW_OF_ONE,
  type Place,
  SLOW_AFTER_MS,
} from "../../../services/transport/places.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Each delivery waits until it is told to end or has to give its place up. */
function openPlaces() {
  const places = createPlaces();
  const begin = (who: Partial<Applicant>, address?: string) => {
    const applicant = {
      sender: "joe@a.test",
      domain: "x.test",
      isKnown: false,
      bytes: 1000,
      message: {},
      ...who,
    };
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    let state = "waits";
    const deliver = ({ signal, goesTo }: Place) => {
      signal.addEventListener("abort", () => end("gave up"));
      if (address !== undefined) goesTo(address);
      return ended;
    };
    const done = places
      .guard(applicant, deliver, () => "refused")
      .then((outcome) => {
        state = outcome;
      });
    const finish = () => {
      end("delivered");
      return done;
    };
    return { state: () => state, finish };
  };
  const beginMany = (
    count: number,
    who: (i: number) => Partial<Applicant>,
    address?: (i: number) => string,
  ) => Array.from({ length: count }, (_, i) => begin(who(i), address?.(i)));
  return { begin, beginMany };
}
const settle = () => vi.advanceTimersByTimeAsync(0);
const becomeSlow = () => vi.advanceTimersByTimeAsync(SLOW_AFTER_MS + 1);
const count = (deliveries: readonly { state: () => string }[], state: string) =>
  deliveries.filter((one) => one.state() === state).length;
const fast = { isKnown: true, domain: "fast.test", sender: "ann@a.test" };

it("leaves room for fast mail, however many messages to unknown hosts are under way", async () => {
  const { begin, beginMany } = openPlaces();
  const unknown = beginMany(100, (i) => ({ sender: `s${i}@a.test`, domain: `d${i}.test` }));
  await settle();
  expect(count(unknown, "waits")).toBe(MAX_DOUBTFUL_MESSAGES);
  const known = beginMany(100, () => fast);
  await settle();
  expect(count(known, "waits")).toBe(100);
  // A large message takes its time with everybody.
  const large = begin({ ...fast, bytes: 1_000_000 });
  await settle();
  expect(large.state()).toBe("refused");
  await unknown[0]!.finish();
  const next = begin({ sender: "s100@a.test" });
  await settle();
  expect(next.state()).toBe("waits");
});

it("gives one sender a part of the places, of which a message to many domains takes one", async () => {
  const { begin, beginMany } = openPlaces();
  const message = {};
  const group = beginMany(50, (i) => ({ message, domain: `d${i}.test` }));
  const second = begin({ domain: "e.test" });
  await settle();
  expect(count(group, "waits")).toBe(50);
  expect(second.state()).toBe("refused");
  await group[0]!.finish();
  const others = beginMany(50, (i) => ({ sender: "ann@a.test", domain: `e${i}.test` }));
  await settle();
  expect(count(others, "waits")).toBe(MAX_DOUBTFUL_MESSAGES_OF_SENDER);
});

it.each<[string, (i: number) => Partial<Applicant>, (i: number) => string]>([
  ["sender", (i) => ({ domain: `_${i}.evil.test` }), (i) => `192.0.2.${i}`],
  ["domain", (i) => ({ sender: `s${i}@a.test` }), (i) => `192.0.2.${i}`],
  ["network", (i) => ({ sender: `s${i}@a.test`, domain: `_${i}.evil.test` }), (i) => `2001:db8::${i}`],
])("begins no more of one %s that has enough slow ones", async (_what, who, address) => {
  const { begin, beginMany } = openPlaces();
  beginMany(MAX_SLOW_OF_ONE, who, address);
  await becomeSlow();
  const next = begin(who(MAX_SLOW_OF_ONE), address(MAX_SLOW_OF_ONE));
  const other = begin({ sender: "ann@a.test", domain: "b.test" }, "198.51.100.1");
  await settle();
  expect(next.state()).not.toBe("waits");
  expect(other.state()).toBe("waits");
});

it("ends slow ones of whoever has most, and never those of others for them", async () => {
  const { begin, beginMany } = openPlaces();
  const honest = begin({ sender: "ann@a.test", domain: "slow.test" }, "198.51.100.1");
  const greedy = beginMany(MAX_DOUBTFUL_MESSAGES_OF_SENDER, (i) => ({ domain: `_${i}.evil.test` }));
  const second = beginMany(10, (i) => ({ sender: "eve@a.test", domain: `e${i}.test` }));
  await becomeSlow();
  expect(count([...greedy, ...second], "waits")).toBe(MAX_SLOW - 1);
  expect(count(second, "waits")).toBeGreaterThanOrEqual(MAX_SLOW / 2 - 1);
  expect(honest.state()).toBe("waits");
  // From now on who has one gets no second, others do.
  const more = [
    begin({ sender: "eve@a.test", domain: "f.test" }),
    begin({ sender: "bob@a.test", domain: "f.test" }),
  ];
  const known = begin(fast);
  await settle();
  expect([...more, known].map((one) => one.state())).toEqual(["refused", "waits", "waits"]);
  await becomeSlow();
  expect(more[1]!.state()).toBe("waits");
  expect(count([honest, ...greedy, ...second, ...more, known], "waits")).toBe(MAX_SLOW);
});

it("does not take a large message for slow while it can still be on its way", async () => {
  const { begin, beginMany } = openPlaces();
  const large = beginMany(MAX_SLOW_OF_ONE, () => ({ ...fast, bytes: 1_000_000 }));
  await becomeSlow();
  const small = begin(fast);
  await settle();
  expect(small.state()).toBe("waits");
  await vi.advanceTimersByTimeAsync(60_000);
  const later = begin(fast);
  await settle();
  expect(later.state()).toBe("refused");
  await Promise.all(large.map((one) => one.finish()));
  const again = begin(fast);
  await settle();
  expect(again.state()).toBe("waits");
});
