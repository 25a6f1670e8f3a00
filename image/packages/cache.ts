/**
 * Where downloads are kept between builds, and how files come into it whole or not at all. Called by
 * image/packages/ and by the image builder, which keeps its root file systems there too.
 */
import { randomBytes } from "node:crypto";
import { access, constants, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { getSystemErrorMessage } from "node:util";
import { explainNoRoom } from "../no-room.ts";

/** Ends the message about a full disk. */
export const CACHE_MEND = "Make room, or give another folder for the cache with --cache.";

/** Nothing can be kept in the cache directory. */
export class CacheError extends Error {
  override name = "CacheError";
}

/** ~/.cache/homing, or below $XDG_CACHE_HOME (XDG Base Directory Specification: relative values are invalid). */
export function defaultCacheDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const base = env.XDG_CACHE_HOME;
  return join(base && isAbsolute(base) ? base : join(homedir(), ".cache"), "homing");
}

/** Makes the cache directory when it is missing. Throws CacheError when nothing can be kept there. */
export async function prepareCache(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK);
  } catch (error) {
    const { code = "", errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    const reason = code === "EEXIST" ? "it is a file" : `${getSystemErrorMessage(errno)} (${code})`;
    throw new CacheError(
      `the cache ${directory} cannot be used: ${reason}. Give another folder with --cache.`,
      { cause: error },
    );
  }
}

/**
 * Writes a file so that nobody ever sees a part of it: aside under a name of its own, then renamed. Several
 * builds may do this to the same file at once. Makes the directory when it is missing.
 */
export async function writeFileWhole(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.part`;
  try {
    await writeFile(aside, content);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw await explainNoRoom(error, path, content.length, CACHE_MEND);
  }
}
