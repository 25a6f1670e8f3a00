/**
 * Asks this computer's system which disks there are, by the program that each system has for it: lsblk, diskutil,
 * PowerShell. Called by `./homing flash` and the wizard.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Disk, DiskListError } from "./disk.ts";
import { lsblkArguments, parseLsblk } from "./linux.ts";
import { parseDiskutil, wholeDisks } from "./macos.ts";
import { readMmcCards } from "./mmc.ts";
import { parseGetDisk, powershellArguments } from "./windows.ts";

const run = promisify(execFile);
/** A reader with a broken card may hold the listing up; PowerShell alone takes some seconds to start. */
const TIME_LIMIT_MS = 60_000;
const MAX_OUTPUT_BYTES = 16 << 20;

/** All disks, also those that must not be written to. Throws DiskListError. */
export async function listDisks(signal?: AbortSignal): Promise<Disk[]> {
  const ask = (program: string, args: readonly string[]) => output(program, args, signal);
  switch (process.platform) {
    case "linux":
      return parseLsblk(await ask("lsblk", lsblkArguments), await readMmcCards());
    case "darwin": {
      const plist = (...args: string[]) =>
        // plutil reads a file alone or its standard input; the shell is given no word of anybody's.
        ask("/bin/sh", ["-c", 'diskutil "$@" | plutil -convert json -o - -', "sh", ...args]);
      const list = await plist("list", "-plist");
      const infos = await Promise.all(wholeDisks(list).map((disk) => plist("info", "-plist", disk)));
      return parseDiskutil(list, infos);
    }
    case "win32":
      return parseGetDisk(await ask("powershell.exe", powershellArguments));
    default:
      throw new DiskListError(`how to list the disks of this system (${process.platform}) is not known`);
  }
}

async function output(program: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  try {
    const options = { timeout: TIME_LIMIT_MS, maxBuffer: MAX_OUTPUT_BYTES, ...(signal && { signal }) };
    return (await run(program, args, options)).stdout;
  } catch (error) {
    signal?.throwIfAborted();
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "it is not installed" : (error as Error).message.split("\n", 1)[0];
    throw new DiskListError(`the disks cannot be listed by ${program}: ${why}`, { cause: error });
  }
}
