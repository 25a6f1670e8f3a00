/** Lets go of a disk that was written, so that it can be pulled out. Called by `./homing flash` and the wizard. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const TIME_LIMIT_MS = 30_000;

/**
 * True when the system has let go of it. False where no program for that is there or it says no: all is written all the
 * same, but a desktop may have opened the disk again.
 */
export async function eject(device: string): Promise<boolean> {
  const programs: readonly (readonly [string, ...string[]])[] =
    process.platform === "darwin"
      ? [["diskutil", "eject", device]]
      : // The first one also turns the reader off where there is a desktop; the second unmounts and opens the tray.
        [
          ["udisksctl", "power-off", "--block-device", device],
          ["eject", device],
        ];
  for (const [program, ...args] of programs) {
    try {
      await run(program, args, { timeout: TIME_LIMIT_MS });
      return true;
    } catch {
      // The next one, or none: the caller says what that means.
    }
  }
  return false;
}
