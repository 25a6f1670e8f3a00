/**
 * Where downloads are kept between builds, and how files come into it whole or not at all. Called by
 * image/packages/ and by the image builder, which keeps its root file systems there too.
 */
import { access, constants, rm, writeFile } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { makeFolder } from "../make-folder.ts";
import { explainNoRoom } from "../no-room.ts";
import { renameWhenFree } from "../rename.ts";
import { systemReason } from "../system-reason.ts";
import { asideName } from "./part-file.ts";

/** Ends the message about a full disk. */
const CACHE_MEND = "Make room, or give another folder for the cache with --cache.";

/** Nothing can be kept in the cache directory. */
export class CacheError extends Error {
  override name = "CacheError";
}

/**
 * ~/.cache/homing, or below $XDG_CACHE_HOME (XDG Base Directory Specification: relative values are invalid). Without a HOME
 * the home directory is the user's in the system. Throws CacheError when that has none either.
 */
export function defaultCacheDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const base = env.XDG_CACHE_HOME;
  return join(base && isAbsolute(base) ? base : join(homeDirectory(), ".cache"), "homing");
}

function homeDirectory(): string {
  const home = homedir(); // HOME as it is, be it empty or relative
  if (isAbsolute(home)) return home;
  try {
    return userInfo().homedir;
  } catch (error) {
    throw new CacheError(
      `there is no place for the cache: HOME is ${JSON.stringify(home)}, and the system knows no home of this user. ` +
        "Give a folder with --cache.",
      { cause: error },
    );
  }
}

/**
 * Makes the cache directory when it is missing. Throws CacheError when there can be none. One that cannot be written
 * is good enough for a build that finds all it needs there.
 */
export async function prepareCache(directory: string): Promise<void> {
  try {
    await makeFolder(directory);
    await access(directory, constants.R_OK | constants.X_OK);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new CacheError(
      `the cache ${directory} cannot be used: ${reason}. Give another folder with --cache.`,
      { cause: error },
    );
  }
}

/**
 * Makes the cache directory when it is missing. Throws CacheError when nothing can be written to it; `missing` says
 * what is needed and not there.
 */
export async function requireWritable(directory: string, missing: string): Promise<void> {
  await prepareCache(directory);
  try {
    await access(directory, constants.W_OK);
  } catch (error) {
    throw unwritable(error, directory, missing) ?? error;
  }
}

/**
 * A CacheError or NoRoomError in place of an error of writing to the cache directory, any other error as it is.
 * `missing` says what was to be written, `bytes` is its size.
 */
export async function explainCacheError(
  error: unknown,
  directory: string,
  missing: string,
  bytes: number,
): Promise<unknown> {
  return unwritable(error, directory, missing) ?? (await explainNoRoom(error, directory, bytes, CACHE_MEND));
}

function unwritable(error: unknown, directory: string, missing: string): CacheError | undefined {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (!["EROFS", "EACCES", "EPERM"].includes(code)) return undefined;
  return new CacheError(
    `the cache ${directory} cannot be written: ${systemReason(error)}, and ${missing}. ` +
      "Make it writable, or give another folder with --cache.",
    { cause: error },
  );
}

/**
 * Writes a file so that nobody ever sees a part of it: aside under a name of its own, then renamed. Several
 * builds may do this to the same file at once. Makes the directory when it is missing. Throws NoRoomError, which ends
 * with `mend`, and what the file system reports.
 */
export async function writeFileWhole(path: string, content: Uint8Array, mend = CACHE_MEND): Promise<void> {
  await makeFolder(dirname(path));
  const aside = asideName(path);
  try {
    await writeFile(aside, content);
    await renameWhenFree(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw await explainNoRoom(error, path, content.length, mend);
  }
}
