import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { openRateFile } from "../../../services/milter/rate-file.ts";
import { createRateLimit, type RateLimitSettings } from "../../../services/milter/rate-limit.ts";
import { createRateTable, MAX_SENDERS, RESCAN_MS } from "../../../services/milter/rate-table.ts";

let folder: string;
let path: string;
let lines: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-rate-"));
  path = join(folder, "rate-limit");
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const log = createLog((line) => lines.push(line), false);
/** A limit kept in the file, as the service has it after each start. */
const openLimit = (settings: RateLimitSettings) =>
  createRateLimit(settings, createRateTable(openRateFile(path, log)));

/** What passes by definition: in no stretch of time more than the burst and what the rate allows beside it. */
function createReference({ perMinute, burst }: RateLimitSettings) {
  const passed = new Map<string, number[]>();
  return (sender: string, now: number): boolean => {
    const times = passed.get(sender) ?? [];
    const fits = times.every(
      (since, index) => times.length - index + 1 <= burst + Math.floor(((now - since) * perMinute) / 60_000),
    );
    if (fits) passed.set(sender, [...times, now]);
    return fits;
  };
}

describe("the rate limit", () => {
  it("allows a burst, then one message an interval", () => {
    const limit = createRateLimit({ perMinute: 60, burst: 10 });
    expect(Array.from({ length: 12 }, () => limit.take("a", 0)).filter(Boolean)).toHaveLength(10);
    expect(limit.take("a", 999)).toBe(false);
    expect(limit.take("a", 1000)).toBe(true);
    expect(limit.take("a", 1001)).toBe(false);
    expect(limit.take("b", 1001)).toBe(true);
  });

  it("is exact for every sender, over restarts of the service as well", () => {
    const step = fc.record({
      sender: fc.constantFrom("a", "b", "c"),
      wait: fc.nat(5000),
      restarts: fc.nat(9).map((number) => number === 0),
    });
    const settings = fc.record({
      perMinute: fc.constantFrom(1, 30, 60, 120),
      burst: fc.integer({ min: 1, max: 12 }),
    });
    fc.assert(
      fc.property(settings, fc.array(step, { maxLength: 200 }), (given, steps) => {
        rmSync(path, { force: true });
        const reference = createReference(given);
        let limit = openLimit(given);
        let now = 0;
        for (const { sender, wait, restarts } of steps) {
          now += wait;
          if (restarts) limit = openLimit(given);
          expect(limit.take(sender, now)).toBe(reference(sender, now));
        }
        expect(lines).toEqual([]);
      }),
    );
  });

  it("charges each of very many senders, and forgets those whose limit is restored", () => {
    const many = 20_000;
    const table = createRateTable(openRateFile(path, log));
    const limit = createRateLimit({ perMinute: 60, burst: 2 }, table);
    const least = table.bytes();
    const all = Array.from({ length: many }, (_, index) => `sender${index}@a.test`);
    for (const _message of [1, 2]) expect(all.every((sender) => limit.take(sender, 0))).toBe(true);
    expect(all.some((sender) => limit.take(sender, 0))).toBe(false);
    // 16 bytes each in a table that is at least an eighth full.
    expect(table.bytes()).toBeLessThanOrEqual(many * 16 * 8);
    expect(statSync(path).size).toBe(32 + table.bytes());
    const again = openLimit({ perMinute: 60, burst: 2 });
    expect(all.some((sender) => again.take(sender, 0))).toBe(false);
    // Two seconds restore everybody; the next senders take their place and the table shrinks.
    for (let index = 0; index < table.bytes() / 16; index++) limit.take(`late${index}`, 2000 + index * 1000);
    expect(table.bytes()).toBe(least);
  });

  it("refuses new senders rather than free old ones when it is full", () => {
    const most = 100;
    const limit = createRateLimit({ perMinute: 60, burst: 1 }, createRateTable(undefined, most));
    for (let index = 0; index < most; index++) expect(limit.take(`early${index}`, 0)).toBe(true);
    expect(limit.take("late", 0)).toBe(false);
    for (let index = 0; index < most; index++) expect(limit.take(`early${index}`, 999)).toBe(false);
    expect(limit.take("late", 1000)).toBe(true);
    expect(limit.take("early1", 1000)).toBe(true);
  });

  it("looks through a full table once a second at most, however many new senders come", () => {
    const most = 2000;
    const table = createRateTable(undefined, most);
    const limit = createRateLimit({ perMinute: 1, burst: 1 }, table);
    // One sender's limit is restored every 30 ms: a full table soon has a place again, and never many.
    for (let index = 0; index < most; index++) limit.take(`early${index}`, index * 30);
    const before = table.scans();
    const seconds = 60;
    let taken = 0;
    for (let now = 60_000; now < 60_000 + seconds * 1000; now += 5) {
      if (limit.take(`late${now}`, now)) taken++;
    }
    const scans = table.scans() - before;
    expect(scans).toBeGreaterThan(seconds / 2);
    expect(scans).toBeLessThanOrEqual((seconds * 1000) / RESCAN_MS + 1);
    // Nothing is lost for long: nearly every place that became free was taken.
    expect(taken).toBeGreaterThan(most * 0.9);
  });

  it("charges a million senders exactly, in 32 MiB, and keeps them in the file", () => {
    const settings = { perMinute: 1, burst: 2 };
    const file = openRateFile(path, log);
    let secret: Buffer = Buffer.alloc(0);
    let slots: Buffer = Buffer.alloc(0);
    // A million single writes take a minute on some machines, so the whole table is written at the end instead.
    const table = createRateTable({
      load: file.load,
      replace(newSecret, newSlots) {
        secret = newSecret;
        slots = newSlots;
      },
      update() {},
    });
    const limit = createRateLimit(settings, table);
    const name = (index: number) => `sender${index}@a.test`;
    for (let index = 0; index < MAX_SENDERS; index++) {
      if (!limit.take(name(index), 0)) throw new Error(`${name(index)} was refused`);
    }
    // Doubling from 1024 slots to two million.
    expect(table.scans()).toBe(11);
    const room = 32 * 1024 * 1024;
    expect(table.bytes()).toBe(room);
    for (let index = 0; index < 5000; index++) expect(limit.take(`late${index}`, 1)).toBe(false);
    expect(table.scans()).toBe(12);
    file.replace(secret, slots);
    expect(statSync(path).size).toBe(32 + room);

    const reference = createReference(settings);
    const again = openLimit(settings);
    const sample = Array.from({ length: 1000 }, (_, index) => name(index * 997));
    for (const sender of sample) reference(sender, 0);
    for (const now of [2, 3, 59_999, 60_000, 60_001, 120_000, 120_001, 180_000]) {
      for (const sender of sample) expect(again.take(sender, now)).toBe(reference(sender, now));
    }
    expect(lines).toEqual([]);
  }, 120_000);

  it("never holds a sender longer than a used-up burst, whatever the file says", () => {
    const settings = { perMinute: 60, burst: 3 };
    const before = openLimit(settings);
    for (let sent = 0; sent < 3; sent++) before.take("a", 1e12);
    const after = openLimit(settings);
    expect(after.take("a", 0)).toBe(false);
    expect(after.take("a", 999)).toBe(false);
    expect(after.take("a", 1000)).toBe(true);
  });

  it.each([
    ["cut off", (bytes: Buffer) => bytes.subarray(0, -1)],
    ["empty", () => Buffer.alloc(0)],
    ["of another version", (bytes: Buffer) => bytes.fill(9, 8, 12)],
    ["of an impossible size", (bytes: Buffer) => bytes.fill(0xff, 12, 16)],
    ["something else", (bytes: Buffer) => bytes.fill("x", 0, 8)],
  ])("begins anew with a file that is %s, and says so", (_what, damage) => {
    const settings = { perMinute: 60, burst: 1 };
    expect(openLimit(settings).take("a", 0)).toBe(true);
    writeFileSync(path, damage(readFileSync(path)));
    const limit = openLimit(settings);
    expect(lines.join()).toMatch(/^<3>the rate limit begins anew: its file is damaged path=\S+ problem=/);
    expect(limit.take("a", 0)).toBe(true);
    expect(openLimit(settings).take("a", 0)).toBe(false);
  });

  it("goes on in memory when the file cannot be written, and says so once", () => {
    path = join(folder, "missing", "rate-limit");
    const limit = openLimit({ perMinute: 60, burst: 2 });
    expect([1, 2, 3].map(() => limit.take("a", 0))).toEqual([true, true, false]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^<3>cannot keep the rate limit/);
  });
});
