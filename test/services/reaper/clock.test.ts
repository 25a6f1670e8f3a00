import { describe, expect, it } from "vitest";
import { type ClockState, judgeClock } from "../../../services/reaper/clock.ts";
import { DAY, now } from "./store.ts";

const kept = (changes: Partial<ClockState> = {}): ClockState => ({
  lastRun: now - DAY,
  wasSynced: true,
  trustedSince: 0,
  doubts: [],
  ...changes,
});
/** Days since a message with such a stamp came, at the earliest. */
const age = (judgement: ReturnType<typeof judgeClock>, stamp: number, at = now) =>
  (at - judgement.cameAt(stamp)) / DAY;

describe("a clock that a time server has set", () => {
  it("is believed from day to day, and after a day without power", () => {
    for (const last of [kept(), kept({ lastRun: now - 2 * DAY })]) {
      const judgement = judgeClock({ now, syncedAt: now - 60 }, last);
      expect(judgement.refusal).toBeUndefined();
      expect(age(judgement, now - 21 * DAY)).toBe(21);
    }
  });

  it("makes nothing older than the first run, or the first after what was kept got lost", () => {
    const first = judgeClock({ now, syncedAt: now - 60 }, undefined);
    expect(first.refusal).toBeUndefined();
    expect(age(first, now - 301 * DAY)).toBe(0);
    let state = first.state();
    for (let day = 1; day <= 21; day++)
      state = judgeClock({ now: now + day * DAY, syncedAt: now }, state).state();
    const later = judgeClock({ now: now + 21 * DAY, syncedAt: now }, state);
    expect(age(later, now - 301 * DAY, now + 21 * DAY)).toBe(21);
  });

  it("is not believed when it is years ahead all the same", () => {
    const judgement = judgeClock({ now, syncedAt: now - 60 }, kept({ lastRun: now - 400 * DAY }));
    expect(judgement.refusal).toMatch(/^the clock is 400 days after the last run$/);
    expect(age(judgement, now - 401 * DAY)).toBe(0);
  });

  it("makes nothing older for the time that the relay was off, however long, but for a day", () => {
    const judgement = judgeClock({ now, syncedAt: now - 60 }, kept({ lastRun: now - 300 * DAY }));
    expect(judgement.refusal).toBeUndefined();
    expect(age(judgement, now - 310 * DAY)).toBeCloseTo(11);
    // Between the last run and now it was on for a while, nobody knows when.
    expect(age(judgement, now - 299 * DAY)).toBe(0);
    expect(age(judgement, now - 60)).toBe(0);
    // From then on everything ages again, and the next such time is another one.
    const later = judgeClock(
      { now: now + 5 * DAY, syncedAt: now },
      { ...judgement.state(), lastRun: now + 4 * DAY },
    );
    expect(age(later, now - 310 * DAY, now + 5 * DAY)).toBeCloseTo(16);
    expect(age(later, now - 60, now + 5 * DAY)).toBe(5);
    const again = judgeClock({ now: now + 65 * DAY, syncedAt: now }, later.state());
    expect(age(again, now - 310 * DAY, now + 65 * DAY)).toBeCloseTo(17);
    expect(age(again, now + 2 * DAY, now + 65 * DAY)).toBeCloseTo(4);
  });

  it("deletes at last on a relay that is on for a day now and then, and keeps a bounded state", () => {
    let state = kept();
    for (let week = 1; week <= 200; week++)
      state = judgeClock({ now: now + week * 10 * DAY, syncedAt: now }, state).state();
    const end = now + 2_000 * DAY;
    const judgement = judgeClock({ now: end, syncedAt: now }, state);
    expect(age(judgement, end - 210 * DAY, end)).toBeCloseTo(21);
    expect(age(judgement, now, end)).toBeGreaterThan(60);
    expect(state.pauses).toHaveLength(64);
  });

  it("takes back what it believed when it was ahead by months for a while", () => {
    const ahead = judgeClock({ now: now + 200 * DAY, syncedAt: now }, kept());
    expect(age(ahead, now - DAY, now + 200 * DAY)).toBeCloseTo(1, 0);
    const right = judgeClock({ now: now + DAY, syncedAt: now }, ahead.state());
    expect(right.refusal).toBeUndefined();
    expect(age(right, now - 100 * DAY, now + DAY)).toBe(0);
    const later = judgeClock(
      { now: now + 22 * DAY, syncedAt: now },
      { ...right.state(), lastRun: now + 21 * DAY },
    );
    expect(age(later, now - DAY, now + 22 * DAY)).toBe(21);
  });

  it("makes nothing older that came before it was set, in this boot or in earlier runs", () => {
    // A day and a half without power; the clock began where it had stopped, and was set after five minutes.
    const began = now - 1.5 * DAY;
    const signs = { now, syncedAt: now - 600, boot: { clockSaid: began, was: now - 900 } };
    const judgement = judgeClock(signs, kept({ lastRun: began - 0.4 * DAY }));
    expect(judgement.refusal).toBeUndefined();
    expect(age(judgement, began + 200)).toBeCloseTo(600 / DAY, 6);
    expect(age(judgement, began - 3_600)).toBeCloseTo(1.5, 1);
    // Of a day it is known only that something came in it.
    const day = Math.floor((began + 200) / DAY) * DAY;
    expect((now - judgement.cameAt(day, day + DAY - 1)) / DAY).toBeCloseTo(600 / DAY, 6);
    const later = judgeClock(
      { now: now + 19 * DAY, syncedAt: now },
      { ...judgement.state(), lastRun: now + 18 * DAY },
    );
    expect(age(later, began + 200, now + 19 * DAY)).toBeCloseTo(19, 1);
    // Weeks without a time server in which the reaper ran.
    const unsynced = judgeClock({ now, syncedAt: now }, kept({ lastRun: now - 30 * DAY, wasSynced: false }));
    expect(age(unsynced, now - 31 * DAY)).toBe(0);
  });

  it("makes messages from its future age from the first look at them", () => {
    const future = now + 1_000 * DAY;
    const first = judgeClock({ now, syncedAt: now }, kept());
    expect(age(first, future)).toBe(0);
    const at = now + 21 * DAY;
    const later = judgeClock({ now: at, syncedAt: now }, { ...first.state(), lastRun: at - DAY });
    expect(age(later, future, at)).toBe(21);
    expect(age(later, at - DAY, at)).toBe(1);
  });
});

describe("a clock that no time server has set", () => {
  it("is not believed at the first run, and deletes nothing until enough days have passed", () => {
    let judgement = judgeClock({ now, syncedAt: undefined }, undefined);
    expect(judgement.refusal).toMatch(/first run/);
    for (let day = 1; day <= 20; day++) {
      judgement = judgeClock({ now: now + day * DAY, syncedAt: undefined }, judgement.state());
      expect(judgement.refusal).toBeUndefined();
      expect(age(judgement, now - 500 * DAY, now + day * DAY)).toBe(day);
    }
  });

  it.each([
    ["in 1970", 3_600, /^the clock is before the last run, and no time server has set it$/],
    ["eight days later", now + 7 * DAY, /^the clock is 8 days after the last run, and no time server/],
    ["in ten years", now + 3_650 * DAY, /^the clock is 3651 days after/],
  ])("is not believed %s", (_, at, refusal) => {
    const judgement = judgeClock({ now: at, syncedAt: undefined }, kept());
    expect(judgement.refusal).toMatch(refusal);
    // Nor is anything old at the next run because of this one.
    const next = judgeClock({ now: at + DAY, syncedAt: undefined }, judgement.state());
    expect(next.refusal).toBeUndefined();
    expect(age(next, at - DAY, at + DAY)).toBeLessThanOrEqual(1);
  });

  it("is believed from day to day", () => {
    const judgement = judgeClock({ now, syncedAt: undefined }, kept());
    expect(judgement.refusal).toBeUndefined();
    expect(age(judgement, now - 21 * DAY)).toBe(21);
  });
});
