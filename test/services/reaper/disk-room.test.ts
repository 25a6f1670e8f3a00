import { rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { emptyReport } from "../../../appliance/reaper-report.ts";
import { commonSize, type Disk, makeRoom } from "../../../services/reaper/disk-room.ts";
import type { Sweep } from "../../../services/reaper/expiry.ts";
import { readQueueBytes } from "../../../services/reaper/queue-room.ts";
import { sizeOf } from "../../../services/reaper/rules.ts";
import { makeStore, type TestStore } from "./store.ts";

const [large, middle, small] = ["large0000@_a.test", "middle000@_a.test", "small0000@_a.test"];
const reserve = 100_000;
const full: Disk = { freeBytes: () => 0, reserve, queueBytes: { all: 0, held: 0 } };

/** Ten, five and one message of 50 kB, the newest of each of today. */
function fill(store: TestStore): void {
  for (const [address, count] of [
    [large, 10],
    [middle, 5],
    [small, 1],
  ] as const) {
    for (let days = 0; days < count; days++) store.add(address!, days, 50_000);
  }
}

/** A disk of which so much is free at first, on which a message takes `share` of its size. */
function disk(store: TestStore, free: number, share = 1): () => number {
  const used = () =>
    store.mailboxes.addresses().reduce((sum, one) => sum + sizeOf(store.mailboxes.messages(one)), 0);
  const atFirst = used();
  return () => free + (atFirst - used()) * share;
}

it("does nothing while there is room", () => {
  using store = makeStore();
  fill(store);
  const sweep = store.sweep();
  expect(makeRoom(sweep, { ...full, freeBytes: () => reserve * 1.5 })).toBe(true);
  expect(sweep.report.removed.room.messages).toBe(0);
  expect(store.log).toEqual([]);
});

it("takes from the largest mailboxes first, until twice of what is needed is free", () => {
  using store = makeStore();
  fill(store);
  expect(makeRoom(store.sweep(), { ...full, freeBytes: disk(store, 60_000) })).toBe(true);
  expect([large, middle, small].map((address) => store.days(address!).length)).toEqual([7, 5, 1]);
});

it("goes on when messages took less of the disk than their size", () => {
  using store = makeStore();
  fill(store);
  const free = disk(store, 100_000, 0.4);
  expect(makeRoom(store.sweep(), { ...full, freeBytes: free })).toBe(true);
  expect(free()).toBeGreaterThanOrEqual(reserve * 2);
  const left = [large, middle, small].map((address) => store.days(address!).length);
  expect(left[0]! - left[1]!).toBeLessThanOrEqual(1);
  expect(left[2]).toBe(1);
});

it("spares the messages of the last hours, and says when that is not enough", () => {
  using store = makeStore();
  fill(store);
  expect(makeRoom(store.sweep(), full)).toBe(false);
  expect([large, middle, small].map((address) => store.days(address!))).toEqual([[1, 0], [1, 0], [0]]);
  expect(store.log.join("")).toMatch(/^<4>the disk is nearly full .*still=true/);
});

it("deletes nobody's mail for what fills the queue", () => {
  using store = makeStore();
  fill(store);
  const sweep = store.sweep();
  expect(makeRoom(sweep, { ...full, queueBytes: { all: reserve * 1.5, held: 0 } })).toBe(false);
  expect(sweep.report.removed.room.messages).toBe(0);
  expect(store.log.join("")).toMatch(
    /^<4>the disk is nearly full with mail that waits in the queue bytes=150000/,
  );
});

it.each([
  ["fails when what is held back in it has to go", 140_000, 1],
  ["waits when enough of it goes by itself", 40_000, 0],
])("deletes nobody's mail for a full queue, and %s", (_, held, failures) => {
  using store = makeStore();
  fill(store);
  const sweep = store.sweep();
  expect(makeRoom(sweep, { ...full, queueBytes: { all: 200_000, held } })).toBe(false);
  expect(sweep.report).toMatchObject({ failures, removed: { room: { messages: 0 } } });
  expect(store.log.join("")).toMatch(
    failures === 0
      ? /^<4>.* waits in the queue bytes=200000/
      : /^<3>.* held back in the queue.* bytes=140000/,
  );
});

it("fails also when room was made, and what is held back takes the rest", () => {
  using store = makeStore();
  fill(store);
  const sweep = store.sweep();
  const free = disk(store, 0);
  expect(makeRoom(sweep, { freeBytes: free, reserve, queueBytes: { all: 120_000, held: 120_000 } })).toBe(
    false,
  );
  expect(sweep.report.removed.room.messages).toBeGreaterThan(0);
  expect(sweep.report.failures).toBe(1);
  expect(store.log.at(-1)).toMatch(/held back in the queue/);
});

it("deletes nobody's mail while nobody knows what fills the disk, and says so", () => {
  using store = makeStore();
  fill(store);
  const sweep = store.sweep();
  expect(makeRoom(sweep, { ...full, queueBytes: undefined })).toBe(false);
  expect(sweep.report).toMatchObject({ failures: 1, removed: { room: { messages: 0 } } });
  expect(store.log.join("")).toMatch(
    /^<3>the disk is nearly full, and how much of it is the queue is not known/,
  );
  expect(makeRoom(sweep, { ...full, freeBytes: () => reserve * 1.5, queueBytes: undefined })).toBe(true);
  expect(sweep.report.failures).toBe(1);
});

it("makes as much room as would be missing were the queue empty", () => {
  using store = makeStore();
  fill(store);
  makeRoom(store.sweep(), { freeBytes: disk(store, 20_000), reserve, queueBytes: { all: 40_000, held: 0 } });
  expect([large, middle, small].map((address) => store.days(address!).length)).toEqual([7, 5, 1]);
});

it("reads what the queue takes, and nothing from before the last hour", () => {
  using store = makeStore();
  const path = join(store.folder, "queue.prom");
  expect(readQueueBytes(path, store.sweep().log)).toBeUndefined();
  const line = (name: string, state: string, value: number) =>
    `homing_mail_queue_${name}{state="${state}"} ${value}\n`;
  writeFileSync(
    path,
    `# TYPE homing_mail_queue_bytes gauge\n${line("messages", "active", 7)}${line("bytes", "active", 4096)}${line("bytes", "hold", 1e12)}`,
  );
  expect(readQueueBytes(path, store.sweep().log)).toEqual({ all: 1e12 + 4096, held: 1e12 });
  const long = Date.now() / 1000 - 2 * 3600;
  utimesSync(path, long, long);
  expect(readQueueBytes(path, store.sweep().log)).toBeUndefined();
  expect(store.log).toEqual([]);
  // What is no figure says nothing either.
  writeFileSync(path, "");
  expect(readQueueBytes(path, store.sweep().log)).toBeUndefined();
  rmSync(path);
  symlinkSync("/etc/passwd", path);
  expect(readQueueBytes(path, store.sweep().log)).toBeUndefined();
  expect(store.log.join("")).toMatch(/^<4>what the queue takes of the disk cannot be read/);
});

it("removes nothing in a dry run", () => {
  using store = makeStore();
  fill(store);
  const sweep: Sweep = store.sweep({}, emptyReport(true));
  makeRoom(sweep, { ...full, freeBytes: disk(store, 60_000) });
  expect(sweep.report.removed.room).toEqual({ messages: 3, bytes: 150_000 });
  expect(store.days(large!)).toHaveLength(10);
});

it("finds the common size that frees just as much as is needed", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1_000), { maxLength: 20 }), fc.nat(10_000), (sizes, needed) => {
      const level = commonSize(sizes, needed);
      const freed = sizes.reduce((sum, size) => sum + Math.max(0, size - level), 0);
      const all = sizes.reduce((sum, size) => sum + size, 0);
      expect(freed).toBeCloseTo(Math.min(needed, all), 6);
    }),
  );
});
