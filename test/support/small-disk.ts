/** A small disk that can be full or read-only, for tests of what is said then. Needs root and Linux. */
import { spawnSync } from "node:child_process";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why there can be none: the reason of a skipped test. */
export const noSmallDisk = "needs root to mount a small disk";

export type SmallDisk = Readonly<{ path: string; makeReadOnly: () => void }>;

/**
 * Mounts a disk of so many KiB, unmounts it after `work`. False when this process may not mount; where nothing may be
 * left out (HOMING_ALL_RINGS, .ci/run) that is an error.
 */
export async function onSmallDisk(
  kibibytes: number,
  work: (disk: SmallDisk) => Promise<void>,
): Promise<boolean> {
  const path = await mkdtemp(join(tmpdir(), "homing-disk-"));
  const mount = (...args: string[]) => spawnSync("mount", args).status === 0;
  if (!mount("-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", path)) {
    await rmdir(path);
    if (process.env.HOMING_ALL_RINGS) throw new Error(`cannot mount a tmpfs at ${path}`);
    return false;
  }
  try {
    await work({
      path,
      makeReadOnly() {
        if (!mount("-o", "remount,ro", path)) throw new Error(`${path} cannot be made read-only`);
      },
    });
  } finally {
    spawnSync("umount", [path]);
    await rmdir(path);
  }
  return true;
}
