/**
 * Keeps one trial disk to one `./homing vm`: QEMU's own lock comes too late for a disk that is being made or replaced.
 * Every process that uses DISK has a file DISK.PID.lock beside it, and who finds one of a process that runs gives way. Of
 * two that start in the same moment both may. Called by commands/vm.ts.
 */
import { readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isRunning } from "../../image/packages/process.ts";
import { whyNothingAside } from "../../image/written-aside.ts";

/** Another ./homing vm has the disk. */
export class DiskInUseError extends Error {
  override name = "DiskInUseError";
}

/** The disk cannot be made or used where it shall lie. */
export class DiskFolderError extends Error {
  override name = "DiskFolderError";
}

export type DiskLock = AsyncDisposable &
  Readonly<{
    /** The machine on the disk, which stays behind when this process is killed. */
    add: (processId: number) => Promise<void>;
  }>;

const lockPath = (disk: string, processId: number) => `${disk}.${processId}.lock`;

/** Throws DiskInUseError, DiskFolderError when the disk's folder takes no files, and the system's errors. */
export async function lockDisk(disk: string): Promise<DiskLock> {
  const reason = await whyNothingAside(disk);
  if (reason !== undefined) {
    throw new DiskFolderError(
      `the relay's disk ${basename(disk)} needs a folder that takes files, and ${dirname(disk)} does not: ${reason}. ` +
        "Change to another folder and start again.",
    );
  }
  const locks = [lockPath(disk, process.pid)];
  const release = async () => {
    for (const path of locks) await rm(path, { force: true });
  };
  // A file of this number is of a process before the last start of the computer.
  await writeFile(locks[0]!, "");
  try {
    for (const { path, processId } of await otherLocks(disk)) {
      if (isRunning(processId)) {
        throw new DiskInUseError(
          `${disk} is in use: another ./homing vm runs on it or makes it (process ${processId}). End that first; if ` +
            `that process is something else, delete ${path}.`,
        );
      }
      await rm(path, { force: true });
    }
  } catch (error) {
    await release();
    throw error;
  }
  return {
    add: async (processId) => {
      locks.push(lockPath(disk, processId));
      await writeFile(locks.at(-1)!, "");
    },
    [Symbol.asyncDispose]: release,
  };
}

async function otherLocks(disk: string): Promise<{ path: string; processId: number }[]> {
  const start = `${basename(disk)}.`;
  return (await readdir(dirname(disk))).flatMap((name) => {
    const number = name.startsWith(start) ? /^(\d+)\.lock$/.exec(name.slice(start.length))?.[1] : undefined;
    const processId = Number(number);
    return number === undefined || processId === process.pid
      ? []
      : [{ path: join(dirname(disk), name), processId }];
  });
}
