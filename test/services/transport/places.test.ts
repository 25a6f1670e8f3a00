/** Places for deliveries by HTTPS: who gets one, who must give it up, and that fast mail never lacks one. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import {
  type Applicant,
  createPlaces,
  LONGEST_UNHURRIED_MS,
  MAX_DOUBTFUL,
  MAX_SLOW,
  MAX_SLOW_OF_ONE,
  type Place,
  SLOW_AFTER_MS,
  STEP,
} from "../../../services/transport/places.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Each delivery waits until it is told to end or has to give its place up. */
function openPlaces() {
  const places = createPlaces(() => Date.now());
  const begin = (who: Partial<Applicant>, address?: string) => {
    const applicant = {
      sender: "joe@a.test",
      domain: "x.test",
      isKnown: false,
      bytes: 1000,
      door: "first" as const,
      ...who,
    };
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    let state = "waits";
    let move: (bytes: number) => void = () => {};
    const deliver = ({ signal, goesTo, moved }: Place) => {
      move = moved;
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
    return { state: () => state, finish, moved: (bytes: number) => move(bytes) };
  };
  const beginMany = (
    count: number,
    who: (i: number) => Partial<Applicant>,
    address?: (i: number) => string,
  ) => Array.from({ length: count }, (_, i) => begin(who(i), address?.(i)));
  return { begin, beginMany };
}
const { all: ALL, ofSender: OF_SENDER } = MAX_DOUBTFUL.unknown;
const settle = () => vi.advanceTimersByTimeAsync(0);
const becomeSlow = () => vi.advanceTimersByTimeAsync(SLOW_AFTER_MS + 1);
const count = (deliveries: readonly { state: () => string }[], state: string) =>
  deliveries.filter((one) => one.state() === state).length;
const fast = { isKnown: true, domain: "fast.test", sender: "ann@a.test" };

it("leaves room for fast mail, however many messages to unknown hosts are under way", async () => {
  const { begin, beginMany } = openPlaces();
  const unknown = beginMany(100, (i) => ({ sender: `s${i}@a.test`, domain: `d${i}.test` }));
  await settle();
  expect(count(unknown, "waits")).toBe(ALL);
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

it("gives one sender a part of the places, a message to many domains no more than many messages", async () => {
  const { begin, beginMany } = openPlaces();
  const group = beginMany(1000, (i) => ({ domain: `d${i}.test` }));
  const others = beginMany(10, (i) => ({ sender: `s${i}@a.test`, domain: `e${i}.test` }));
  await settle();
  expect(count(group, "waits")).toBe(OF_SENDER);
  expect(count(others, "waits")).toBe(10);
  await group[0]!.finish();
  const next = begin({ domain: "f.test" });
  await settle();
  expect(next.state()).toBe("waits");
});

it("has places for large messages to those known by HTTPS, whatever is under way to others", async () => {
  const { beginMany } = openPlaces();
  beginMany(100, (i) => ({ sender: `s${i}@a.test`, domain: `d${i}.test` }));
  const large = beginMany(100, (i) => ({ ...fast, door: "known", bytes: 1_000_000, sender: `t${i}@a.test` }));
  const known = beginMany(10, () => ({ ...fast, door: "known" }));
  await settle();
  expect(count(large, "waits")).toBe(MAX_DOUBTFUL.known.all);
  expect(count(known, "waits")).toBe(10);
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
  const greedy = beginMany(OF_SENDER, (i) => ({ domain: `_${i}.evil.test` }));
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

const large = { ...fast, bytes: 1_000_000 };
type Delivery = ReturnType<ReturnType<typeof openPlaces>["begin"]>;
/** Each at its own rate, in bytes per second. */
const goOn = async (ms: number, ...groups: readonly [deliveries: readonly Delivery[], rate: number][]) => {
  for (let passed = 0; passed < ms; passed += 10_000) {
    await vi.advanceTimersByTimeAsync(10_000);
    for (const [deliveries, rate] of groups) for (const one of deliveries) one.moved(rate * 10);
  }
};

it("does not take large messages for slow while they move, however long and wherever to", async () => {
  const { begin, beginMany } = openPlaces();
  const uploads = beginMany(
    MAX_SLOW_OF_ONE,
    () => ({ ...large }),
    () => "192.0.2.1",
  );
  await goOn(500_000, [uploads, 2000]);
  const others = [
    begin(fast),
    begin(large, "192.0.2.1"),
    begin({ ...large, isKnown: false, sender: "bob@a.test" }),
  ];
  await settle();
  expect(count([...uploads, ...others], "waits")).toBe(MAX_SLOW_OF_ONE + 3);
});

it("takes a large message for slow that stands still, until it goes on", async () => {
  const { begin, beginMany } = openPlaces();
  const uploads = beginMany(MAX_SLOW_OF_ONE, () => large);
  await goOn(60_000, [uploads, 10_000]);
  await vi.advanceTimersByTimeAsync(STEP.limitMs + 1);
  const refused = begin(fast);
  await settle();
  expect(refused.state()).toBe("refused");
  for (const one of uploads) one.moved(STEP.bytes);
  const taken = begin(fast);
  await settle();
  expect(taken.state()).toBe("waits");
  await vi.advanceTimersByTimeAsync(STEP.limitMs + 1);
  const again = begin(fast);
  await settle();
  expect(again.state()).toBe("refused");
});

it("ends none that moves for one that stands still", async () => {
  const { beginMany } = openPlaces();
  const uploads = beginMany(10, (i) => ({ ...large, domain: `f${i}.test` }));
  await goOn(100_000, [uploads, 2000]);
  beginMany(10, (i) => ({ domain: `_${i}.evil.test`, sender: "eve@a.test" }));
  beginMany(10, (i) => ({ domain: `_${i}.evil2.test`, sender: "joe@a.test" }));
  await becomeSlow();
  expect(count(uploads, "waits")).toBe(10);
});

it("lets nobody hold all places by a trickle", async () => {
  const { begin, beginMany } = openPlaces();
  const quick = begin({ ...large, sender: "eve@a.test" });
  const trickle = beginMany(ALL - 1, (i) => ({
    ...large,
    sender: i % 2 === 0 ? "joe@a.test" : "eve@a.test",
  }));
  await goOn(60_000, [trickle, 2000], [[quick], 50_000]);
  const honest = begin({ sender: "ann@a.test" });
  await settle();
  expect(honest.state()).toBe("waits");
  expect(quick.state()).toBe("waits");
  expect(count(trickle, "gave up")).toBe(1);
  // Who takes as many places as the others gets no more of them.
  await honest.finish();
  const own = beginMany(ALL, () => ({ ...large, sender: "bob@a.test" }));
  await settle();
  expect(count(own, "waits")).toBe(Math.floor(ALL / 3));
});

it("lets many who trickle alone go on for a quarter of an hour", async () => {
  const { begin, beginMany } = openPlaces();
  const trickle = beginMany(ALL, (i) => ({ ...large, sender: `s${i}@a.test` }));
  await goOn(LONGEST_UNHURRIED_MS, [trickle, 2000]);
  const early = begin({ sender: "ann@a.test" });
  await settle();
  expect(early.state()).toBe("refused");
  await goOn(10_000, [trickle, 2000]);
  const late = begin({ sender: "ann@a.test" });
  await settle();
  expect(late.state()).toBe("waits");
  expect(trickle[0]!.state()).toBe("gave up");
});
