/** The list of what was delivered, over restarts, beyond its size and where it cannot be written. */
import { appendFile, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openDeliveredList } from "../../../services/door/delivered-list.ts";
import { createLog } from "../../../services/lib/log.ts";

const DAY = 86_400_000;
const lines: string[] = [];
const log = createLog((line) => void lines.push(line));
let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-delivered-"));
  path = join(folder, "delivered");
});
afterEach(() => rm(folder, { recursive: true }));

it("knows what was begun, delivered and refused, also after it was killed in the middle of a note", async () => {
  const first = openDeliveredList({ path, log });
  first.note("begun", [1n, 2n, 3n]);
  first.note("delivered", [1n]);
  first.note("refused", [2n]);
  await appendFile(path, "cut");
  const second = openDeliveredList({ path, log });
  second.note("delivered", [0n]);
  for (const list of [second, openDeliveredList({ path, log })]) {
    expect([1n, 2n, 3n, 4n, 0n].map(list.state)).toEqual([
      "delivered",
      undefined,
      "begun",
      undefined,
      "delivered",
    ]);
  }
  for (const list of [first, second]) list.close();
});

it("passes over zeros that a power cut left", async () => {
  const first = openDeliveredList({ path, log });
  first.note("delivered", [1n]);
  first.close();
  await appendFile(path, Buffer.alloc(120));
  const second = openDeliveredList({ path, log });
  second.note("delivered", [2n]);
  second.close();
  const third = openDeliveredList({ path, log });
  expect([1n, 2n, 5n].map(third.state)).toEqual(["delivered", "delivered", undefined]);
});

it("forgets the oldest first, never the last so many, and neither file grows without end", async () => {
  const maxDelivered = 10;
  let list = openDeliveredList({ path, log, maxDelivered });
  for (let i = 1n; i < 100n; i++) {
    list.note("begun", [i]);
    list.note("delivered", [i]);
    for (let back = 0n; back < 10n && back < i; back++) expect(list.state(i - back)).toBe("delivered");
    if (i % 7n === 0n) {
      list.close();
      list = openDeliveredList({ path, log, maxDelivered });
    }
  }
  expect(list.state(1n)).toBeUndefined();
  for (let i = 200n; i < 300n; i++) {
    list.note("begun", [i]);
    list.note("refused", [i]);
  }
  list.close();
  for (const file of [path, `${path}.old`]) expect((await stat(file)).size).toBeLessThan(12 * 3 * 10 + 100);
});

it("forgets after five to ten days", async () => {
  let now = 1000 * DAY;
  const list = openDeliveredList({ path, log, now: () => now });
  list.note("delivered", [1n]);
  now += 5 * DAY + 1;
  list.note("delivered", [2n]);
  expect(list.state(1n)).toBe("delivered");
  now += 5 * DAY + 1;
  list.note("delivered", [3n]);
  expect([1n, 2n, 3n].map(list.state)).toEqual([undefined, "delivered", "delivered"]);
  list.close();
});

it("goes on without a file that cannot be read, says so, and is there again after a restart", async () => {
  // Reading a folder fails as reading a bad block does.
  for (const name of [path, `${path}.old`]) await mkdir(name);
  const first = openDeliveredList({ path, log });
  expect(lines.filter((line) => line.includes("cannot read which messages"))).toHaveLength(2);
  first.note("delivered", [1n]);
  first.close();
  const second = openDeliveredList({ path, log });
  expect(second.state(1n)).toBe("delivered");
  second.close();
});

it("goes on in memory where no file can be written, and says so once", async () => {
  lines.length = 0;
  const list = openDeliveredList({ path: join(folder, "missing", "delivered"), log });
  list.note("begun", [1n]);
  list.note("delivered", [1n]);
  expect(list.state(1n)).toBe("delivered");
  expect(lines.length).toBe(1);
});
