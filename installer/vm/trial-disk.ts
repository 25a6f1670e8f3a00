/**
 * The disk that `./homing vm` boots: a copy of its own, so that trying an image out does not change it. A relay that
 * has started once is no longer the image that was built: it has accounts and mail, is larger, and its keys have
 * left the boot partition. Called by commands/vm.ts.
 */
import { stat, truncate } from "node:fs/promises";
import { basename, resolve } from "node:path";

/** Room for mail in a trial, in bytes; the file is sparse and only takes what is really used. */
const DISK_BYTES = 4 * 2 ** 30;
const SUFFIX = "-trial.img";

/** Where the disk of a relay folder or an image lies: in the current folder. A trial's disk is its own. */
export function trialDiskPath(source: string): string {
  const name = basename(resolve(source));
  return name.endsWith(SUFFIX)
    ? resolve(source)
    : resolve(`${name.replace(/\.img(?:\.zst)?$/, "")}${SUFFIX}`);
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
