/** Copies of images as `./homing vm` and the audit make them (image/copy-image.ts). */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync } from "node:fs";
import { open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { compressImage } from "../../image/compressed-image.ts";
import { copyImage, ImageCopyError } from "../../image/copy-image.ts";
import { noSmallDisk, onSmallDisk } from "../support/small-disk.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-copy-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("copies an image byte by byte and leaves the empty blocks out", async () => {
  const image = join(folder, "image");
  await writeFile(image, "first");
  await truncate(image, 20 * 2 ** 20 + 7);
  await using file = await open(image, "r+");
  await file.write(Buffer.from("last"), 0, 4, 20 * 2 ** 20 + 3);
  const copy = join(folder, "copy");
  await copyImage(image, copy, "", undefined);
  expect((await readFile(copy)).equals(await readFile(image))).toBe(true);
  expect((await stat(copy)).blocks * 512).toBeLessThan(4 * 2 ** 20);
});

it("leaves nothing behind when it is stopped", async () => {
  await writeFile(join(folder, "image"), "x");
  const copying = copyImage(join(folder, "image"), join(folder, "copy"), "", AbortSignal.abort());
  await expect(copying).rejects.toThrow(/abort/i);
  expect(readdirSync(folder)).toEqual(["image"]);
});

it("copies what is in a compressed image, and refuses a damaged one", async () => {
  const image = join(folder, "image");
  await writeFile(image, randomBytes(3_000_000));
  await truncate(image, 20 * 2 ** 20 + 7);
  const packed = join(folder, "image.zst");
  await compressImage(image, packed, 20 * 2 ** 20 + 7, () => {});
  const copy = join(folder, "copy");
  await copyImage(packed, copy, "", undefined);
  expect((await readFile(copy)).equals(await readFile(image))).toBe(true);
  expect((await stat(copy)).blocks * 512).toBeLessThan(5 * 2 ** 20);
  const content = await readFile(packed);
  content[content.length >> 1]! ^= 1;
  for (const damaged of [content, (await readFile(packed)).subarray(0, -9)]) {
    await writeFile(packed, damaged);
    await expect(copyImage(packed, copy, "", undefined)).rejects.toThrow(ImageCopyError);
  }
  expect(readdirSync(folder).sort()).toEqual(["copy", "image", "image.zst"]);
  expect((await readFile(copy)).equals(await readFile(image))).toBe(true);
});

it("says how much room a copy needs", async (test) => {
  const image = join(folder, "image");
  await writeFile(image, randomBytes(300_000));
  const done = await onSmallDisk(64, async ({ path: disk }) => {
    const failed = copyImage(image, join(disk, "copy"), "Go elsewhere.", undefined);
    await expect(failed).rejects.toThrow(
      /no room for .*copy \(ENOSPC\): it needs 0\.3 MB, 0\.1 MB .*\. Go elsewhere\.$/,
    );
    expect(readdirSync(disk)).toEqual([]);
  });
  if (!done) test.skip(noSmallDisk);
});
