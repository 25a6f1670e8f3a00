/**
 * Renames files and folders on the builder's computer. On Windows, what was just written is often held for a moment by a
 * virus scanner or an indexer, and cannot be renamed meanwhile. Called by whatever writes aside and then renames.
 * Source: Microsoft, "MoveFileExW" and CreateFileW's sharing modes; libuv makes EPERM, EACCES or EBUSY of it.
 */
import { rename } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const HELD = ["EPERM", "EACCES", "EBUSY"];
/** Before the further tries: ten seconds together, more than a scanner takes for a file of 200 MB; in milliseconds. */
const PAUSES = [20, 50, 130, 300, 700, 1400, 2400, 5000];

export type RenameOptions = Readonly<{
  /** Whether something is in the way that will not go: then there is nothing to wait for. */
  isTaken?: () => Promise<boolean>;
  /** Of this computer unless given. */
  platform?: NodeJS.Platform;
  wait?: (milliseconds: number) => Promise<unknown>;
}>;

/** As rename(2), with patience on Windows. Throws the system's last error. */
export async function renameWhenFree(
  from: string,
  to: string,
  { isTaken, platform = process.platform, wait = delay }: RenameOptions = {},
): Promise<void> {
  const pauses = platform === "win32" ? PAUSES : [];
  for (let tries = 0; ; tries++) {
    try {
      return await rename(from, to);
    } catch (error) {
      const pause = pauses[tries];
      if (pause === undefined || !HELD.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      if (await isTaken?.()) throw error;
      await wait(pause);
    }
  }
}
