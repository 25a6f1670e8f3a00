/**
 * Makes a folder and those above it. Node's own mkdir with `recursive` never ends, and cannot be stopped, where the system
 * says of a new folder that there is none such, as it does below /proc. Called by whoever makes folders at a place that
 * the user names. I/O on the file system.
 */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Throws the system's error; one of EEXIST says that the path, or one above it, is a file. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (await isFolder(path)) return;
    const above = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || above === path) throw error;
    await makeFolder(above);
    await mkdir(path).catch(async (again) => {
      // Somebody else was quicker.
      if (!(await isFolder(path))) throw again;
    });
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (there) => there.isDirectory(),
    () => false,
  );
}
