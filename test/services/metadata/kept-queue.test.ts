/** The queue of notifications whose file cannot be opened, and what then waits in memory: on real files. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { openKeptQueue } from "../../../services/metadata/kept-queue.ts";
import { openNotificationQueue } from "../../../services/metadata/notification-queue.ts";
import { createNotificationShelf } from "../../../services/metadata/notification-shelf.ts";

it("has a bound in memory as well when the file cannot even be opened at the start", async () => {
  const folder = await mkdtemp(join(tmpdir(), "homing-kept-"));
  const path = join(folder, "notifications.sqlite");
  {
    using newer = new DatabaseSync(path);
    newer.exec("PRAGMA user_version = 99");
  }
  const lines: string[] = [];
  const fresh = openNotificationQueue(join(folder, "fresh"));
  const waiting = openKeptQueue(
    path,
    createLog((line) => void lines.push(line)),
  );
  expect(lines).toEqual([expect.stringContaining("written by a newer Homing")]);
  const failures: unknown[] = [];
  const shelf = createNotificationShelf({ fresh, waiting, failed: (cause) => void failures.push(cause) });
  const news = Array.from({ length: 1100 }, (_, i) => ({
    ...{ token: `invented ${i}`, since: 100, tries: 0, due: 100, turn: 1 },
  }));
  expect(shelf.note(news, true)).toBe(1100 - 1024);
  expect(String(failures[0])).toContain("written by a newer Homing");
  shelf.change({ ...news[0]!, tries: 1 });
  expect(shelf.inBackOff(news[0]!.token)?.tries).toBe(1);
  shelf.moveToDisk();
  expect([fresh.size(), waiting.size()]).toEqual([1024, 0]);
  for (const queue of [fresh, waiting]) queue.close();
  expect(await readdir(folder)).toEqual(["fresh", "notifications.sqlite"]);
  await rm(folder, { recursive: true });
});
