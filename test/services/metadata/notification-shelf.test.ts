/** Where notifications are noted: on real queues, the one on the disk taking nothing where the test says so. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  type Notification,
  type NotificationQueue,
  openNotificationQueue,
} from "../../../services/metadata/notification-queue.ts";
import { createNotificationShelf, MAX_IN_MEMORY } from "../../../services/metadata/notification-shelf.ts";

let folder: string;
let fresh: NotificationQueue;
let waiting: NotificationQueue;
let isFull: boolean;
let failures: unknown[];
const notification = (name: string, turn = 1): Notification => ({
  ...{ token: name.padEnd(4096, "x"), since: 100, tries: 0, due: 100, turn },
});
const many = (count: number, name: string, turn?: number) =>
  Array.from({ length: count }, (_, i) => notification(`${name}-${i}-`, turn));
const open = () =>
  createNotificationShelf({
    fresh,
    waiting: {
      ...waiting,
      put(notifications) {
        if (isFull) throw new Error("database or disk is full");
        waiting.put(notifications);
      },
    },
    failed: (cause) => void failures.push(cause),
  });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-shelf-"));
  [fresh, waiting] = [
    openNotificationQueue(join(folder, "fresh")),
    openNotificationQueue(join(folder, "waiting")),
  ];
  [isFull, failures] = [false, []];
});
afterEach(async () => {
  for (const queue of [fresh, waiting]) queue.close();
  await rm(folder, { recursive: true });
});

it("keeps so many in memory, all others on the disk, and moves the former there", () => {
  const shelf = open();
  for (let account = 0; account < 40; account++) expect(shelf.note(many(32, `b${account}`), true)).toBe(0);
  expect([fresh.size(), waiting.size()]).toEqual([MAX_IN_MEMORY, 40 * 32 - MAX_IN_MEMORY]);
  shelf.moveToDisk();
  expect([fresh.size(), waiting.size()]).toEqual([0, 40 * 32]);
  expect(shelf.note(many(1, "b"), false)).toBe(0);
  expect(fresh.size()).toBe(0);
});

it("has a bound in memory while the disk takes nothing, and beyond it room for those that were taken before", () => {
  isFull = true;
  const shelf = open();
  expect(shelf.note(many(1100, "invented"), true)).toBe(1100 - 1024);
  expect(shelf.note(many(5, "invented"), true)).toBe(0);
  expect(shelf.note(many(1, "phone", 0), true)).toBe(0);
  expect(shelf.note(many(1030, "phone", 0), true)).toBe(1030 - 1024);
  expect([fresh.size(), waiting.size()]).toEqual([2048, 0]);
  expect(failures).not.toEqual([]);
  shelf.moveToDisk();
  expect(fresh.size()).toBe(2048);
  isFull = false;
  shelf.moveToDisk();
  expect([fresh.size(), waiting.size()]).toEqual([0, 2048]);
});

it("changes one that the disk has not in memory, and says so of one that it has", () => {
  const shelf = open();
  const [inMemory, onDisk] = [notification("memory"), notification("disk")];
  shelf.note([inMemory], true);
  shelf.note([onDisk], false);
  isFull = true;
  shelf.change({ ...inMemory, tries: 1, due: 108 });
  expect(shelf.inBackOff(inMemory.token)).toMatchObject({ tries: 1, due: 108 });
  expect(() => shelf.change({ ...onDisk, tries: 1 })).toThrow(/full/);
  expect(waiting.find(onDisk.token)).toEqual(onDisk);
  isFull = false;
  shelf.change({ ...inMemory, tries: 2, due: 164 });
  expect([fresh.size(), waiting.size()]).toEqual([0, 2]);
});

it("says of each turn which is due first, in both queues", () => {
  const shelf = open();
  const of = (token: string, turn: number, due: number) => ({ token, since: 1, tries: 0, due, turn });
  shelf.note([of("a", 2, 5), of("b", 2, 4), of("c", 1, 9)], true);
  shelf.note([of("d", 0, 8), of("e", 0, 7), of("f", 2, 1)], false);
  expect(shelf.firsts(new Map([["b", {}]])).map(({ token }) => token)).toEqual(["e", "c", "a", "f"]);
});

it("takes over what an older version noted", () => {
  const path = join(folder, "older");
  const older = new DatabaseSync(path);
  older.exec(`CREATE TABLE notifications (token TEXT PRIMARY KEY NOT NULL, since REAL NOT NULL, tries INTEGER NOT NULL,
    due REAL NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX notifications_by_due ON notifications (due);
    INSERT INTO notifications VALUES ('phone', 1, 2, 3);
    PRAGMA user_version = 1`);
  older.close();
  const queue = openNotificationQueue(path);
  expect(queue.all()).toEqual([{ token: "phone", since: 1, tries: 2, due: 3, turn: 1 }]);
  queue.close();
});
