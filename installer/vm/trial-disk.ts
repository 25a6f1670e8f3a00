/**
 * The disk that `./homing vm` boots: a copy of its own, so that trying an image out does not change it. A relay that
 * has started once is no longer the image that was built: it has accounts and mail, is larger, and its keys have
 * left the boot partition. Called by commands/vm.ts.
 */
import { open, rename, rm, stat, truncate } from "node:fs/promises";
import { basename, resolve } from "node:path";

/** Room for mail in a trial, in bytes; the file is sparse and only takes what is really used. */
const DISK_BYTES = 4 * 2 ** 30;
const SUFFIX = "-trial.img";
const BLOCK_BYTES = 1 << 20;

/** Where the disk of a relay folder or an image lies: in the current folder. A trial's disk is its own. */
export function trialDiskPath(source: string): string {
  const name = basename(resolve(source));
  return name.endsWith(SUFFIX) ? resolve(source) : resolve(`${name.replace(/\.img$/, "")}${SUFFIX}`);
}

/**
 * Copies an image without its empty blocks; there is a whole copy at the end or none. Stops at `signal`.
 * Rejects with the errors of the file system.
 */
export async function copyImage(from: string, to: string, signal: AbortSignal): Promise<void> {
  const temporary = `${to}.part`;
  try {
    await using source = await open(from, "r");
    await using target = await open(temporary, "w", 0o600);
    const block = Buffer.alloc(BLOCK_BYTES);
    let at = 0;
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await source.read(block, 0, BLOCK_BYTES, at);
      if (bytesRead === 0) break;
      const piece = block.subarray(0, bytesRead);
      if (piece.some((byte) => byte !== 0)) await target.write(piece, 0, bytesRead, at);
      at += bytesRead;
    }
    await target.truncate(at);
    await target.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await rename(temporary, to);
}

/** Grows the disk to the size a trial has; a larger one stays as it is. */
export async function growDisk(disk: string): Promise<void> {
  if ((await stat(disk)).size < DISK_BYTES) await truncate(disk, DISK_BYTES);
}

/** Which of the files was changed after the disk was made; none where the file system keeps no time of birth. */
export async function changedSince(disk: string, files: readonly string[]): Promise<string[]> {
  const { birthtimeMs } = await stat(disk);
  if (birthtimeMs === 0) return [];
  const times = await Promise.all(files.map(async (path) => ({ path, time: (await stat(path)).mtimeMs })));
  return times.filter(({ time }) => time > birthtimeMs).map(({ path }) => path);
}
