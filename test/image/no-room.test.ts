/** What is said when a disk is full (image/no-room.ts), and that builds say it. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { explainNoRoom, NoRoomError } from "../../image/no-room.ts";
import { CacheError, prepareCache, writeFileWhole } from "../../image/packages/cache.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { noSmallDisk, onSmallDisk } from "../support/small-disk.ts";

/** The smallest that holds something, in KiB. */
const DISK = 64;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-room-"));
});
afterAll(() => rm(folder, { recursive: true }));

it("names the file, what it needs, what there is and the mend", async () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  const error = await explainNoRoom(full, join(folder, "a.img"), 123_400_000, "Choose another place.");
  expect(error).toBeInstanceOf(NoRoomError);
  expect((error as Error).message).toMatch(
    /a\.img \(ENOSPC\): it needs 123\.4 MB, \d+\.\d MB are free there\. Choose another place\.$/,
  );
});

it("leaves other errors as they are", async () => {
  const other = Object.assign(new Error("x"), { code: "EACCES" });
  expect(await explainNoRoom(other, folder, 1, "")).toBe(other);
});

it("refuses a cache that is a file, before anything is fetched", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  for (const cache of [file, join(file, "below")]) {
    await expect(prepareCache(cache)).rejects.toThrow(CacheError);
    await expect(prepareCache(cache)).rejects.toThrow(/^the cache .*file.* cannot be used: .*--cache/);
  }
});

it("tells of a cache without room", async (test) => {
  const done = await onSmallDisk(DISK, async ({ path: disk }) => {
    await expect(writeFileWhole(join(disk, "packages/a.deb"), Buffer.alloc(1_000_000, 1))).rejects.toThrow(
      /a\.deb \(ENOSPC\): it needs 1\.0 MB, 0\.1 MB are free there\. Make room, .*--cache/,
    );
  });
  if (!done) test.skip(noSmallDisk);
});

it("tells of a relay folder without room and leaves nothing", async (test) => {
  const done = await onSmallDisk(DISK, async ({ path: disk }) => {
    await writeFile(join(disk, "fill"), Buffer.alloc(60_000));
    await expect(createRelayFolder(join(disk, "relay"), "a.example")).rejects.toThrow(
      /there is no room for .*relay \(ENOSPC\).*--dir/,
    );
    expect(spawnSync("ls", ["-A", disk], { encoding: "utf8" }).stdout).toBe("fill\n");
  });
  if (!done) test.skip(noSmallDisk);
});
