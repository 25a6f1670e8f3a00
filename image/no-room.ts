/**
 * Says which file found no room, how much it needs and how much there is, where the system says only "no space left
 * on device". Called by whatever writes files on the builder's computer.
 */
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";

/** A file does not fit on its disk. */
export class NoRoomError extends Error {
  override name = "NoRoomError";
}

/** Full disk, full quota, file larger than the file system or the user's limit allows. */
const codes = ["ENOSPC", "EDQUOT", "EFBIG"];

/**
 * A NoRoomError in place of an error that means a full disk, any other error as it is. `neededBytes` for the whole
 * of `path`; `mend` ends the message.
 */
export async function explainNoRoom(
  error: unknown,
  path: string,
  neededBytes: number,
  mend: string,
): Promise<unknown> {
  if (!(error instanceof Error) || !("code" in error) || !codes.includes(String(error.code))) return error;
  const free = await freeBytes(dirname(path));
  const there = free === undefined ? "" : `, ${megabytes(free)} are free there`;
  return new NoRoomError(
    `there is no room for ${path} (${error.code}): it needs ${megabytes(neededBytes)}${there}. ${mend}`,
    { cause: error },
  );
}

async function freeBytes(directory: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch {
    return undefined; // the error to tell is the one about room
  }
}

function megabytes(bytes: number): string {
  return `${(Math.ceil(bytes / 1e5) / 10).toFixed(1)} MB`;
}
