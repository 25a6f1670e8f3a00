/** Writing to a disk and reading it back: on loop devices, which the kernel treats as it treats cards. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProgressReport } from "../../../image/progress.ts";
import { writeDisk } from "../../../installer/flash/write.ts";
import { bytesAt, noLoopDisk, onLoopDisk } from "../../support/loop-disk.ts";

/** No whole number of chunks or blocks. */
const IMAGE_BYTES = (9 << 20) + 512;
const content = randomBytes(IMAGE_BYTES);

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-flash-"));
  image = join(folder, "relay.img");
  await writeFile(image, content);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function order(device: string, more: Partial<Parameters<typeof writeDisk>[0]> = {}) {
  const signal = new AbortController().signal;
  return { image, imageBytes: IMAGE_BYTES, device, onProgress: () => {}, signal, ...more };
}

test.for(["as it is", "compressed"])(
  "a disk holds the image that was written, %s",
  async (form, { skip }) => {
    const path = form === "compressed" ? join(folder, "relay.img.zst") : image;
    if (path !== image) await writeFile(path, zstdCompressSync(content));
    const stages = new Map<string, number>();
    const onProgress: ProgressReport = ({ stage, done = 0 }) => stages.set(stage, done);
    const ran = await onLoopDisk(32 << 20, async ({ device, file }) => {
      await writeDisk(order(device, { image: path, onProgress }));
      expect(sha256(await bytesAt(file, 0, IMAGE_BYTES))).toBe(sha256(content));
      expect([...stages]).toEqual([
        [`Writing to ${device}`, IMAGE_BYTES],
        ["Reading it back", IMAGE_BYTES],
      ]);
    });
    if (!ran) skip(noLoopDisk);
  },
);

test("a disk whose writing is stopped has no partition table", async ({ skip }) => {
  const stop = new AbortController();
  const ran = await onLoopDisk(32 << 20, async ({ device, file }) => {
    await writeFile(file, Buffer.alloc(32 << 20, 0xaa));
    const onProgress: ProgressReport = ({ done = 0 }) => {
      if (done > 4 << 20) stop.abort("SIGINT");
    };
    await expect(writeDisk(order(device, { onProgress, signal: stop.signal }))).rejects.toBe("SIGINT");
    expect((await bytesAt(file, 0, 1 << 20)).every((byte) => byte === 0)).toBe(true);
  });
  if (!ran) skip(noLoopDisk);
});

test("a disk that is smaller than the image is told", async ({ skip }) => {
  const ran = await onLoopDisk(8 << 20, async ({ device }) => {
    await expect(writeDisk(order(device))).rejects.toThrow(/smaller than it says|broken/);
  });
  if (!ran) skip(noLoopDisk);
});

test("a disk that loses what it was given is found out", async ({ skip }) => {
  const ran = await onLoopDisk(32 << 20, async ({ device, file }) => {
    const onProgress: ProgressReport = ({ stage, done }) => {
      // What a worn card does, after all is written and before it is read.
      if (stage === "Reading it back" && done === 4 << 20) damage(file, 6 << 20);
    };
    await expect(writeDisk(order(device, { onProgress }))).rejects.toThrow("does not hold what was written");
  });
  if (!ran) skip(noLoopDisk);
});

/** One byte in the file behind the disk changes. */
function damage(file: string, position: number): void {
  execFileSync("dd", [`of=${file}`, "bs=1", `seek=${position}`, "conv=notrunc", "status=none"], {
    input: Buffer.from([content[position]! ^ 0xff]),
  });
}

test("a disk that something uses is left alone", async ({ skip }) => {
  const ran = await onLoopDisk(32 << 20, async ({ device, file }) => {
    execFileSync("mkfs.ext4", ["-q", device]);
    const mount = await mkdtemp(join(folder, "mount-"));
    execFileSync("mount", [device, mount]);
    try {
      const before = sha256(await bytesAt(file, 0, 1024));
      await expect(writeDisk(order(device))).rejects.toThrow("is in use");
      expect(sha256(await bytesAt(file, 0, 1024))).toBe(before);
    } finally {
      execFileSync("umount", [mount]);
    }
  });
  if (!ran) skip(noLoopDisk);
});

test("an image that ends early or is damaged is told, and leaves no partition table", async ({ skip }) => {
  const short = join(folder, "short.img");
  await writeFile(short, content);
  await truncate(short, 5 << 20);
  const damaged = join(folder, "damaged.img.zst");
  await writeFile(damaged, zstdCompressSync(content).subarray(0, 4 << 20));
  const ran = await onLoopDisk(32 << 20, async ({ device, file }) => {
    await expect(writeDisk(order(device, { image: short }))).rejects.toThrow("ends after");
    await expect(writeDisk(order(device, { image: damaged }))).rejects.toThrow("is damaged");
    expect((await readFile(file)).subarray(0, 1 << 20).every((byte) => byte === 0)).toBe(true);
  });
  if (!ran) skip(noLoopDisk);
});

test("a disk that is not there is told", async () => {
  await expect(writeDisk(order("/dev/homing-no-such-disk"))).rejects.toThrow("there is no disk");
});
