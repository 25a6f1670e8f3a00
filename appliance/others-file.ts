/**
 * Reads a file that lies in a folder of somebody else, who may put there whatever they like: nobody leads the reader
 * elsewhere by a link (O_NOFOLLOW, open(2)), holds it up by a pipe or fills its memory. Called by programs that run as
 * root, by services/web and by services/metrics; such files lie in memory (/run), so that reading waits for nothing.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";

/** Far above what any of our services writes for the console and homing-ctl. */
const MAX_BYTES = 65_536;

/** There is something, but no file that can be believed. */
export class OthersFileError extends Error {
  override name = "OthersFileError";
}

/**
 * Opens the file, lets `use` look at it and closes it. `text` reads it.
 * @throws OthersFileError, and what open(2) says: ELOOP for a link
 */
export function useOthersFile<T>(
  path: string,
  maxBytes: number,
  use: (status: Stats, text: () => string) => T,
): T {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = fstatSync(file);
    return use(status, () => textOf(file, status, maxBytes));
  } finally {
    closeSync(file);
  }
}

/** The file's text; undefined when there is none, or none that can be believed, of which `warn` is told. */
export function readOthersFile(path: string, warn: (reason: string) => void): string | undefined {
  try {
    return useOthersFile(path, MAX_BYTES, (_status, text) => text());
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== "ENOENT") warn(`${path} is left out: ${message}`);
    return undefined;
  }
}

/**
 * The file's content as JSON; undefined when there is none, or none that can be believed, of which `warn` is told.
 * `isWhole` looks at all that is used of it, and may stumble over what is missing.
 */
export function readOthersJson<T>(
  path: string,
  isWhole: (value: T) => boolean,
  warn: (reason: string) => void,
): T | undefined {
  const text = readOthersFile(path, warn);
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as T;
    if (isWhole(value)) return value;
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
  }
  warn(`${path} is left out: it is not what it should be`);
  return undefined;
}

function textOf(file: number, status: Stats, maxBytes: number): string {
  if (!status.isFile()) throw new OthersFileError("it is no file");
  if (status.size > maxBytes) throw new OthersFileError(`it has more than ${maxBytes} bytes`);
  // It may grow meanwhile.
  const buffer = Buffer.alloc(status.size + 1);
  const length = readSync(file, buffer, 0, buffer.length, 0);
  if (length > status.size) throw new OthersFileError("it grows while it is read");
  return buffer.toString("utf8", 0, length);
}
