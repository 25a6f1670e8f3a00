/**
 * Writing that survives a power cut, and deleting that leaves nothing to read. The steps of the first boot
 * use these through the `Disk` type, so that tests can cut the power after every one of them.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, rmdir, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";

export type FileAttributes = Readonly<{ mode: number; uid?: number; gid?: number }>;

export type Disk = Readonly<{
  /** Makes the file as a whole or not at all; when it resolves, the content is on the medium. */
  put(path: string, content: string | Uint8Array, attributes: FileAttributes): Promise<void>;
  /** Makes a directory (and its parents) if it is missing. */
  makeDirectory(path: string, attributes: FileAttributes): Promise<void>;
  /** Overwrites the file's content on the medium, then removes the file. */
  wipe(path: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>;
}>;

/** The real one. Errors are those of the system calls. */
export const realDisk: Disk = {
  put: async (path, content, attributes) => {
    const temporary = `${path}.new`;
    // Without O_EXCL: a file left over by a power cut is simply written again.
    const file = await open(temporary, "w", attributes.mode);
    try {
      await setAttributes(file, attributes);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  },

  makeDirectory: async (path, attributes) => {
    await mkdir(path, { recursive: true, mode: attributes.mode });
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await setAttributes(directory, attributes);
    } finally {
      await directory.close();
    }
    await syncDirectory(dirname(path));
  },

  wipe: async (path) => {
    const { size } = await stat(path);
    const file = await open(path, "r+");
    try {
      await file.write(randomBytes(size), 0, size, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await unlink(path);
    await syncDirectory(dirname(path));
  },

  removeDirectory: async (path) => {
    await rmdir(path);
    await syncDirectory(dirname(path));
  },
};

async function setAttributes(handle: FileHandle, { mode, uid, gid }: FileAttributes): Promise<void> {
  // FAT knows neither owners nor modes: only what is asked for is set.
  if (uid !== undefined && gid !== undefined) await handle.chown(uid, gid);
  // After chown, which clears bits, and against the process's umask.
  await handle.chmod(mode);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The file's content, or undefined when there is no such file. */
export async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
