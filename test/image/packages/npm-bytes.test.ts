/** Tests of watching how much npm has fetched, on a folder that stands for that of its cache. */
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { watchGrowth } from "../../../image/packages/npm-bytes.ts";
import { waitFor } from "../../support/wait.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-npm-bytes-"));
});
afterEach(() => rm(folder, { recursive: true }));

it("tells of the file that grows, and neither of an old one nor of less than before", async () => {
  const since = Date.now() - 2000;
  await writeFile(join(folder, "left"), Buffer.alloc(5000));
  await utimes(join(folder, "left"), 1, 1);
  const told: number[] = [];
  const end = new AbortController();
  const watch = { onBytes: (bytes: number) => told.push(bytes), signal: end.signal };
  const watching = watchGrowth(folder, since, watch);
  const wait = (bytes: number) => waitFor(`${bytes} bytes`, 5000, () => told.at(-1) === bytes);
  await writeFile(join(folder, "a"), Buffer.alloc(10));
  await wait(10);
  await writeFile(join(folder, "a"), Buffer.alloc(300));
  await wait(300);
  await rm(join(folder, "a"));
  await writeFile(join(folder, "b"), Buffer.alloc(400));
  await wait(400);
  end.abort();
  await watching;
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect([...new Set(told)].filter((bytes) => bytes > 0)).toEqual([10, 300, 400]);
});

it("waits for a folder that is not there", async () => {
  const end = new AbortController();
  const watching = watchGrowth(join(folder, "none"), 0, {
    onBytes: (bytes) => bytes > 0 && end.abort(),
    signal: end.signal,
  });
  await mkdir(join(folder, "none"));
  await writeFile(join(folder, "none", "a"), "1");
  await watching;
  expect(end.signal.aborted).toBe(true);
});
