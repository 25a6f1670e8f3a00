/**
 * Files that are whole or not there: each build writes aside, under a name of its own ("NAME.PID-RANDOM.part", as in the
 * cache), and renames at the end, so that of several builds to one place the last one's whole file stays. Called for
 * images, what lies beside them, and the disks of `./homing vm`.
 */
import { rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { syncFolder } from "./durable.ts";
import { asideName, partsIn } from "./packages/part-file.ts";
import { isRunning } from "./packages/process.ts";
import { renameWhenFree } from "./rename.ts";
import { systemReason } from "./system-reason.ts";

/** No build takes as long: a process that still has the number of the one that wrote is another; in milliseconds. */
const LONGEST_BUILD_MILLISECONDS = 24 * 3600 * 1000;

/** Another program removed a file that was being written. */
export class LostFileError extends Error {
  override name = "LostFileError";
}

/**
 * Calls `write` with names beside `path`, as many as it asks for, and gives the one that it returns the name `path`.
 * Nothing else of them stays, whatever happens; first goes what dead builds have left. Throws what `write` throws, changed
 * by `explain` when the written files are gone and room is free again.
 */
export async function writeAside<Result>(
  path: string,
  write: (newName: () => string) => Promise<{ written: string; result: Result }>,
  explain: (error: unknown) => Promise<unknown> = async (error) => error,
): Promise<Result> {
  const names: string[] = [];
  const newName = () => {
    const name = asideName(path);
    names.push(name);
    return name;
  };
  try {
    await removeLeftovers(path);
    const { written, result } = await write(newName);
    await renameWhenFree(written, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      throw new LostFileError(`${written} was removed while it was written; start again`, { cause: error });
    });
    for (const name of names) await rm(name, { force: true });
    await syncFolder(dirname(path));
    return result;
  } catch (error) {
    // The first error is the one to tell: on a disk that went read-only nothing can be removed either.
    for (const name of names) await rm(name, { force: true }).catch(() => {});
    throw await explain(error);
  }
}

/**
 * Why no file can be made beside `path`, in words; undefined when one can. Found out by making one, for what may be
 * written is not what root, network drives and /proc say of it.
 */
export async function whyNothingAside(path: string): Promise<string | undefined> {
  const name = asideName(path);
  try {
    await writeFile(name, "", { flag: "wx" });
    await rm(name);
    return undefined;
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    // The folder is there: looked at before. Of /proc and its like the system has no better word.
    return (error as NodeJS.ErrnoException).code === "ENOENT"
      ? "no files can be made in it (ENOENT)"
      : reason;
  }
}

/** Removes what builds to `path` have left that were killed; an image's holds keys. What still runs is left alone. */
async function removeLeftovers(path: string): Promise<void> {
  for (const { path: part, target, processId } of await partsIn(dirname(path))) {
    if (basename(target) !== basename(path) || processId === process.pid) continue;
    const { mtimeMs } = await stat(part).catch(() => ({ mtimeMs: Date.now() }));
    if (isRunning(processId) && Date.now() - mtimeMs < LONGEST_BUILD_MILLISECONDS) continue;
    await rm(part, { force: true }).catch((error: NodeJS.ErrnoException) => {
      // Another user's: theirs to remove.
      if (!["EACCES", "EPERM", "EBUSY", "EROFS"].includes(error.code ?? "")) throw error;
    });
  }
}
