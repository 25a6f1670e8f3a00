/**
 * Writing that survives a power cut, and deleting that leaves nothing to read. The steps of the first boot
 * use these through the `Disk` type, so that tests can cut the power after every one of them.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readFile, rmdir, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type FileAttributes, replaceDurably, setAttributes, syncDirectory } from "../durable.ts";

/** A file is overwritten in pieces of this size: what lies beside the keys may be of any size. */
const pieceBytes = 65_536;

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
  put: replaceDurably,

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
    const file = await open(path, "r+");
    try {
      const { size } = await file.stat();
      for (let offset = 0; offset < size; offset += pieceBytes) {
        const piece = randomBytes(Math.min(pieceBytes, size - offset));
        await file.write(piece, 0, piece.length, offset);
      }
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

/** The file's content, or undefined when there is no such file. */
export async function readIfPresent(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The same for what a relay does without, or makes anew: an error of the disk is only said. */
export async function readIfReadable(path: string, say: (text: string) => void): Promise<Buffer | undefined> {
  return readIfPresent(path).catch((error: unknown) => {
    say(`going on without ${path}, which cannot be read: ${String(error)}`);
    return undefined;
  });
}
