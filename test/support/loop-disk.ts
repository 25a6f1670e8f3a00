/** A disk for tests: a file that a loop device shows (losetup(8)). Needs root and Linux. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why there can be none: the reason of a skipped test. */
export const noLoopDisk = "needs root and loop devices";

/** `file` holds what is on the disk. */
export type LoopDisk = Readonly<{ device: string; file: string }>;

/**
 * Gives `work` a disk of so many bytes, and takes it away after. False when this process may make none; where nothing
 * may be left out (HOMING_ALL_RINGS, .ci/run) that is an error.
 */
export async function onLoopDisk(
  bytes: number,
  work: (disk: LoopDisk) => Promise<void>,
  options: readonly string[] = [],
  /** Where the file behind it lies. */
  place = tmpdir(),
): Promise<boolean> {
  const folder = await mkdtemp(join(place, "homing-loop-"));
  const file = join(folder, "disk");
  try {
    await writeFile(file, "");
    await truncate(file, bytes);
    const made = spawnSync("losetup", ["--find", "--show", ...options, file], { encoding: "utf8" });
    if (made.status !== 0) {
      if (process.env.HOMING_ALL_RINGS) throw new Error(`losetup: ${made.stderr}`);
      return false;
    }
    const device = made.stdout.trim();
    try {
      await work({ device, file });
    } finally {
      execFileSync("losetup", ["--detach", device]);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return true;
}

/** So many bytes at a position of a file or device. */
export async function bytesAt(path: string, position: number, length: number): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
