/**
 * Puts files on the disk itself before their names are relied upon: a rename may outlive a power cut that what is in the
 * file does not. Called by whatever writes aside and renames on the builder's computer.
 */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Throws the system's errors. */
export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, "r+"); // Windows flushes only what may be written
  await file.sync();
}

/** The names in a folder. Windows opens no folder, and some file systems sync none: there is no more to be done there. */
export async function syncFolder(path: string): Promise<void> {
  try {
    await using folder = await open(path, "r");
    await folder.sync();
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP"].includes(code)) throw error;
  }
}

/** All files and folders below `path`, and itself. */
export async function syncTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) await syncTree(inside);
    else await syncFile(inside);
  }
  await syncFolder(path);
}
