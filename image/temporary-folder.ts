/**
 * Folders for what is thrown away at the end. Called by whatever unpacks, or lets other programs write, on the builder's
 * computer.
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemReason } from "./system-reason.ts";

/** By which variable os.tmpdir() can be told of another place. */
export const TEMPORARY_VARIABLE = process.platform === "win32" ? "TEMP" : "TMPDIR";

/** Nothing can be written where temporary files belong. */
export class TemporaryFolderError extends Error {
  override name = "TemporaryFolderError";
}

/** A new folder that its owner alone can read; whoever calls removes it. Throws TemporaryFolderError. */
export async function makeTemporaryFolder(prefix: string): Promise<string> {
  const place = tmpdir();
  try {
    return await mkdtemp(join(place, prefix));
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new TemporaryFolderError(
      `the folder for temporary files, ${place}, cannot be used: ${reason}. ` +
        `Name another one in ${TEMPORARY_VARIABLE}.`,
      { cause: error },
    );
  }
}
