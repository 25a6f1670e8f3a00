/** When tokens are handed over: on real queues, with a clock and a proxy that the test moves. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import {
  type NotificationQueue,
  openNotificationQueue,
} from "../../../services/metadata/notification-queue.ts";
import { createNotifier, type Notifier } from "../../../services/metadata/notifier.ts";
import type { ProxyAnswer } from "../../../services/metadata/proxy-post.ts";

const HOUR = 3600;
const start = 1_800_000_000;
type Attempt = { token: string; at: number; end: (answer: number | Error, retryAfter?: number) => void };

let folder: string;
let attempts: Attempt[];
let open: number;
let mostOpen: number;
/** What the proxy answers at once; undefined: what the test says by `end`. */
let answer: number | Error | undefined;
let answerAfterMs: number;
/** For some tokens it is another one. */
let answerTo: (token: string) => number | undefined;
let forgotten: string[];
let known: (token: string) => boolean;
/** Tokens that the proxy did not take when it was last asked. */
let untaken: Set<string>;
/** The queue on the disk takes nothing. */
let isFull: boolean;
let lines: string[];
let queues: { fresh: NotificationQueue; waiting: NotificationQueue };
let counters: ReturnType<typeof createCounters>;
let closeCounters: (() => Promise<void>)[];
let notifier: Notifier;
const now = () => Date.now() / 1000;

const post = (token: string): Promise<ProxyAnswer> => {
  const { promise, resolve, reject } = Promise.withResolvers<ProxyAnswer>();
  open += 1;
  mostOpen = Math.max(mostOpen, open);
  const end = (what: number | Error, retryAfter?: number) => {
    open -= 1;
    if (what instanceof Error) reject(what);
    else resolve({ status: what, retryAfter });
  };
  attempts.push({ token, at: now() - start, end });
  const said = answerTo(token) ?? answer;
  if (said !== undefined) {
    if (answerAfterMs === 0) end(said);
    else setTimeout(end, answerAfterMs, said);
  }
  return promise;
};

function openNotifier(retryHours = 5): Notifier {
  queues = {
    fresh: openNotificationQueue(join(folder, "fresh")),
    waiting: openNotificationQueue(join(folder, "waiting")),
  };
  const log = createLog((line) => void lines.push(line));
  counters = createCounters({ path: join(folder, "metadata.prom"), log });
  closeCounters.push(counters.close);
  const forgetToken = (token: string) => void forgotten.push(token);
  const waiting: NotificationQueue = {
    ...queues.waiting,
    put(notifications) {
      if (isFull && notifications.length > 0) throw new Error("database or disk is full");
      queues.waiting.put(notifications);
    },
  };
  const made = createNotifier({
    ...{ ...queues, waiting, post, forgetToken, retrySeconds: retryHours * HOUR, now, counters, log },
    hasToken: (token) => known(token),
    wasTaken: (token) => !untaken.has(token),
    noteTaken: (token, isTaken) => void (isTaken ? untaken.delete(token) : untaken.add(token)),
    // "b-1" is a device of "b".
    accountOf: (token) => token.split("-")[0],
    random: () => 0,
  });
  made.start();
  return made;
}
/** As a killed process leaves it: nothing is moved. */
function kill() {
  for (const queue of Object.values(queues)) queue.close();
  vi.clearAllTimers();
}
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);
const waits = () => queues.fresh.size() + queues.waiting.size();
const tokens = (count: number) => Array.from({ length: count }, (_, i) => `phone-${i}`);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-notifier-"));
  vi.useFakeTimers({
    now: start * 1000,
    toFake: ["Date", "performance", "setTimeout", "clearTimeout"],
  });
  [attempts, forgotten, lines, closeCounters, open, mostOpen] = [[], [], [], [], 0, 0];
  [answer, answerAfterMs, isFull, untaken] = [200, 0, false, new Set()];
  known = () => true;
  answerTo = () => undefined;
  notifier = openNotifier();
});
afterEach(async () => {
  for (const close of closeCounters) await close();
  vi.useRealTimers();
  for (const queue of Object.values(queues)) queue.close();
  await rm(folder, { recursive: true });
});

it("hands a token over at once and then has forgotten that there was mail", async () => {
  notifier.notify(["phone"]);
  expect(attempts).toHaveLength(1);
  await pass(0);
  expect(waits()).toBe(0);
  expect(counters.text()).toContain('homing_push_requests_total{outcome="accepted"} 1\n');
});

it("tries again after 8, 64, 512 and 4096 seconds, and gives up when the next time would be too late", async () => {
  answer = 400;
  notifier.notify(["phone"]);
  await pass(48 * HOUR);
  expect(attempts.map(({ at }) => Math.round(at))).toEqual([0, 8, 72, 584, 4680]);
  expect(waits()).toBe(0);
  expect(counters.text()).toContain("homing_push_given_up_total 1\n");
});

it("asks later if the proxy wants that, but not for ever", async () => {
  answer = undefined;
  notifier.notify(["phone"]);
  attempts[0]!.end(429, 100);
  await pass(99);
  expect(attempts).toHaveLength(1);
  await pass(2);
  attempts[1]!.end(503, 999_999);
  await pass(HOUR + 1);
  expect(attempts).toHaveLength(3);
});

it("makes one request for all mail of a moment, and one more for what came while it was under way", async () => {
  answer = undefined;
  notifier.notify(["phone"]);
  for (let i = 0; i < 5; i++) notifier.notify(["phone"]);
  expect(attempts).toHaveLength(1);
  attempts[0]!.end(200);
  await pass(0);
  expect(attempts).toHaveLength(2);
  attempts[1]!.end(200);
  await pass(1);
  expect(attempts).toHaveLength(2);
  expect(waits()).toBe(0);
});

it("keeps the news of mail that came while a request was under way that failed", async () => {
  answer = undefined;
  notifier.notify(["phone"]);
  await pass(10);
  notifier.notify(["phone"]);
  attempts[0]!.end(new Error("it hangs"));
  await pass(9);
  expect(attempts).toHaveLength(2);
  attempts[1]!.end(200);
  await pass(0);
  expect(waits()).toBe(0);
});

it.each([400, 500])(
  "tries a token that got %i soon again when there is new mail, but not for each",
  async (status) => {
    answer = status;
    notifier.notify(["phone"]);
    await pass(600);
    expect(attempts.map(({ at }) => Math.round(at))).toEqual([0, 8, 72, 584]);
    attempts = [];
    for (let seconds = 0; seconds < 640; seconds++) {
      notifier.notify(["phone"]);
      await pass(1);
    }
    expect(attempts.length).toBeGreaterThanOrEqual(9);
    expect(attempts.length).toBeLessThanOrEqual(10);
    answer = 200;
    notifier.notify(["phone"]);
    await pass(65);
    expect(waits()).toBe(0);
    attempts = [];
    notifier.notify(["phone"]);
    expect(attempts).toHaveLength(1);
    await pass(0);
  },
);

it("goes on trying after the last mail, however often it failed before", async () => {
  answer = 500;
  for (let hours = 0; hours < 24; hours++) {
    notifier.notify(["phone"]);
    await pass(HOUR);
  }
  expect(waits()).toBe(1);
  answer = 200;
  await pass(2 * HOUR);
  expect(waits()).toBe(0);
  expect(counters.text()).not.toContain("homing_push_given_up_total 1");
});

it.each([
  ["one account", 32, () => "b"],
  ["four accounts", 32, (i: number) => `b${i % 4}`],
])("wakes a phone at once beside dead tokens of %s that get 500", async (_what, count, account) => {
  answerTo = (token) => (token === "phone" ? 200 : 500);
  const dead = Array.from({ length: count }, (_, i) => `${account(i)}-${i}`);
  for (let time = 0; time < 3; time++) {
    attempts = [];
    notifier.notify([...dead, "phone"]);
    await pass(1);
    expect(attempts.map(({ token }) => token)).toContain("phone");
    await pass(100);
  }
});

it("wakes a phone soon beside dead tokens of many accounts, and at once when they come again", async () => {
  answerTo = (token) => (token === "phone" ? 200 : 500);
  notifier.notify([...tokens(32).map((token) => `${token.slice(6)}-x`), "phone"]);
  await pass(120);
  expect(attempts.map(({ token }) => token)).toContain("phone");
  attempts = [];
  notifier.notify([...tokens(32).map((token) => `${token.slice(6)}-x`), "phone"]);
  await pass(1);
  expect(attempts.map(({ token }) => token)).toContain("phone");
});

it("wakes at once a phone that was woken before, and soon a new one, beside thousands of invented tokens", async () => {
  [answer, answerAfterMs] = [500, 100];
  answerTo = (token) => (token.startsWith("phone") ? 200 : undefined);
  untaken.add("phone-new");
  for (let account = 0; account < 100; account++) {
    const invented = Array.from({ length: 32 }, (_, i) => `b${account}-${i}`);
    for (const token of invented) untaken.add(token);
    notifier.notify(invented);
  }
  const woken = () => attempts.filter(({ token }) => token.startsWith("phone")).map(({ token }) => token);
  for (let time = 0; time < 3; time++) {
    await pass(1);
    notifier.notify(["phone"]);
    expect(woken()).toHaveLength(time + 1);
  }
  notifier.notify(["phone-new"]);
  await pass(20);
  expect(woken()).toContain("phone-new");
  expect(untaken).not.toContain("phone-new");
  expect(mostOpen).toBeLessThanOrEqual(5);
  // Nor does one of them wait for the last of another.
  expect(new Set(attempts.slice(0, 100).map(({ token }) => token.split("-")[0])).size).toBeGreaterThan(90);
});

it("takes no 500 for a failure of the proxy where it never took the token", async () => {
  answer = 500;
  for (const token of tokens(20).map((token) => `${token.slice(6)}-x`)) {
    untaken.add(token);
    notifier.notify([token]);
  }
  await pass(5 * HOUR);
  expect(lines.filter((line) => line.includes("does not take tokens"))).toEqual([]);
  // Each with its own back-off, and no more than that.
  expect(attempts).toHaveLength(20 * 5);
});

it("takes 500 for the first attempts of five accounts in a row for a proxy that fails", async () => {
  answer = 500;
  notifier.notify(["a-1", "a-2", "b-1", "c-1", "d-1"]);
  await pass(1);
  expect(lines.filter((line) => line.includes("does not take tokens"))).toEqual([]);
  // Who waits is no news.
  await pass(10);
  answerTo = (token) => (token === "e-1" ? 200 : undefined);
  notifier.notify(["e-1"]);
  await pass(0);
  notifier.notify(["f-1", "g-1", "h-1", "i-1"]);
  await pass(1);
  expect(lines.filter((line) => line.includes("does not take tokens"))).toEqual([]);
  attempts = [];
  notifier.notify(["j-1", ...tokens(100)]);
  await pass(60);
  expect(lines.filter((line) => line.includes("does not take tokens"))).toHaveLength(1);
  expect(mostOpen).toBeLessThanOrEqual(2);
  expect(attempts.length).toBeLessThanOrEqual(1 + 60 / 4 + 3);
});

it("forgets a token that the proxy does not know any more", async () => {
  answer = 410;
  notifier.notify(["phone", "tablet"]);
  await pass(0);
  expect(forgotten).toEqual(["phone", "tablet"]);
  expect(waits()).toBe(0);
});

it("sends none that was forgotten meanwhile", async () => {
  answer = new Error("down");
  notifier.notify(["phone"]);
  answer = 200;
  known = () => false;
  await pass(HOUR);
  expect(attempts).toHaveLength(1);
  expect(waits()).toBe(0);
});

it("goes on where a killed process was, also one that was in the middle of a request", async () => {
  answer = undefined;
  notifier.notify(["under way", "behind it"]);
  await pass(1);
  kill();
  answer = 200;
  attempts = [];
  notifier = openNotifier();
  await pass(1);
  expect(attempts.map(({ token }) => token).sort()).toEqual(["behind it", "under way"]);
  expect(waits()).toBe(0);
});

it("takes with it over a reboot what it was told, when it is stopped or the proxy has failed", async () => {
  answer = undefined;
  notifier.notify(["phone"]);
  const stopped = notifier.stop();
  await pass(5);
  await stopped;
  expect([queues.fresh.size(), queues.waiting.size()]).toEqual([0, 1]);
  kill();
  answer = new Error("down");
  notifier = openNotifier();
  await pass(0);
  notifier.notify(tokens(3));
  await pass(0);
  expect([queues.fresh.size(), queues.waiting.size()]).toEqual([0, 4]);
});

it("does not let a proxy that comes back after a day be met by a crowd, nor by what is too old", async () => {
  answer = new Error("down");
  for (let hour = 0; hour < 24; hour++) {
    notifier.notify(tokens(10).map((token) => `${token}-${hour}`));
    await pass(HOUR);
  }
  expect(mostOpen).toBe(1);
  expect(waits()).toBeLessThanOrEqual(5 * 10);
  expect(attempts.length).toBeLessThan((24 * HOUR) / 20);
  expect(lines.filter((line) => line.includes("does not take tokens")).length).toBeLessThanOrEqual(25);
  notifier.notify(tokens(60).map((token) => `${token}-24`));
  attempts = [];
  answer = undefined;
  for (let seconds = 0; seconds < 120 && attempts.length === 0; seconds++) await pass(1);
  const width: number[] = [];
  for (let done = 0; done < attempts.length; ) {
    width.push(attempts.length - done);
    const batch = attempts.slice(done);
    done = attempts.length;
    for (const one of batch) one.end(200);
    await pass(0);
  }
  expect(width.slice(0, 6)).toEqual([1, 2, 4, 8, 16, 16]);
  expect(Math.max(...width)).toBe(16);
  const hours = attempts.map(({ token }) => Number(token.split("-").at(-1)));
  expect(Math.min(...hours)).toBeGreaterThanOrEqual(19);
  expect(hours.filter((hour) => hour === 24)).toHaveLength(60);
});

it("wakes within half a minute of the proxy's return those whose mail came in between", async () => {
  answer = new Error("down");
  notifier.notify(["early"]);
  await pass(10 * 60);
  attempts = [];
  notifier.notify(["late"]);
  answer = 200;
  await pass(31);
  expect(attempts.map(({ token }) => token)).toContain("late");
});

it("is not held up by times that a wrong clock noted", async () => {
  answer = new Error("down");
  vi.setSystemTime((start + 1000 * 24 * HOUR) * 1000);
  notifier.notify(["phone"]);
  await pass(1);
  kill();
  vi.setSystemTime(start * 1000);
  answer = 200;
  attempts = [];
  notifier = openNotifier();
  await pass(1);
  expect(attempts).toHaveLength(1);
});

it("keeps in memory what the disk does not take, and its back-off, and wakes others meanwhile", async () => {
  isFull = true;
  answer = 400;
  notifier.notify(["phone"]);
  await pass(100);
  expect(attempts.map(({ at }) => Math.round(at))).toEqual([0, 8, 72]);
  notifier.notify(["tablet"]);
  expect(attempts.at(-1)?.token).toBe("tablet");
  expect(queues.fresh.find("phone")).toMatchObject({ since: start, tries: 3 });
  answer = 200;
  await pass(HOUR);
  expect(attempts.at(-1)?.token).toBe("phone");
  expect(waits()).toBe(0);
});

it("loses nothing when what stands on the disk cannot be changed there", async () => {
  answer = 400;
  notifier.notify(["phone"]);
  await pass(0);
  isFull = true;
  await pass(60);
  expect(attempts.length).toBeLessThanOrEqual(4);
  expect(queues.waiting.find("phone")).toBeDefined();
  [isFull, answer] = [false, 200];
  await pass(31);
  expect(waits()).toBe(0);
});

it("does not ask on and on when the disk cannot be written", async () => {
  answer = 400;
  queues.waiting.close();
  notifier.notify(["phone"]);
  await pass(60);
  expect(attempts.length).toBeLessThanOrEqual(4);
  expect(lines.join()).toContain("cannot note what became of a notification");
  queues.waiting = openNotificationQueue(join(folder, "waiting"));
});
