/** Compressed images (image/compressed-image.ts), judged by zstd. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compressImage } from "../../image/compressed-image.ts";

const hasZstd = spawnSync("zstd", ["--version"]).error === undefined;
const IMAGE_BYTES = 96 * 2 ** 20 + 512;
const NOISE_BYTES = 3 << 20;

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-compressed-"));
  image = join(folder, "image");
  await using file = await open(image, "w");
  await file.truncate(IMAGE_BYTES);
  // As in a real one: content that cannot be compressed, at odd places among many zeros.
  for (const position of [0, 40_000_001, IMAGE_BYTES - NOISE_BYTES])
    await file.write(randomBytes(NOISE_BYTES), 0, NOISE_BYTES, position);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("compressImage", () => {
  it.skipIf(!hasZstd)("writes what zstd decompresses to the same bytes, its size known before", async () => {
    const path = join(folder, "one.zst");
    const progress: number[] = [];
    const result = await compressImage(image, path, IMAGE_BYTES, (done) => progress.push(done));
    execFileSync("zstd", ["-q", "-t", path]);
    execFileSync("zstd", ["-q", "-d", path, "-o", join(folder, "one")]);
    const [before, after, compressed] = await Promise.all(
      [image, join(folder, "one"), path].map((name) => readFile(name)),
    );
    expect(Buffer.compare(before!, after!)).toBe(0);
    expect(result).toEqual({
      imageSha256: sha256(before!),
      bytes: compressed!.length,
      sha256: sha256(compressed!),
    });
    // One frame, with the size of the content and a checksum: what shows progress, and a broken download.
    const listed = execFileSync("zstd", ["-lv", path], { encoding: "utf8" });
    expect(listed).toMatch(/# Zstandard Frames: 1\n/);
    expect(listed).toMatch(new RegExp(`Decompressed Size: .*\\(${IMAGE_BYTES} B\\)`));
    expect(listed).toMatch(/Check: XXH64/);
    expect(result.bytes).toBeLessThan(3 * NOISE_BYTES + 100_000);
    expect(progress.at(-1)).toBe(IMAGE_BYTES);
  });

  it("gives the same bytes again, readable by nobody else", async () => {
    const results = [];
    for (const name of ["first.zst", "second.zst"])
      results.push(await compressImage(image, join(folder, name), IMAGE_BYTES, () => {}));
    expect(results[0]).toEqual(results[1]);
    if (process.platform !== "win32")
      expect((await stat(join(folder, "first.zst"))).mode & 0o777).toBe(0o600);
  });

  it("stops at once when it is told to, and replaces nothing", async () => {
    const abort = new AbortController();
    const stopped = compressImage(
      image,
      join(folder, "stopped.zst"),
      IMAGE_BYTES,
      () => abort.abort(),
      abort.signal,
    );
    await expect(stopped).rejects.toThrow("aborted");
    const again = compressImage(image, join(folder, "first.zst"), IMAGE_BYTES, () => {});
    await expect(again).rejects.toThrow("EEXIST");
  });

  it("fails when the image is not as long as it was said to be", async () => {
    const wrong = compressImage(image, join(folder, "wrong.zst"), IMAGE_BYTES + 1, () => {});
    await expect(wrong).rejects.toThrow(/size|[Ss]rc/);
  });
});
