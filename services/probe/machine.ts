/** The clock and the disk, as a relay needs them. Called by main.ts. */
import { constants } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { uptime } from "node:os";
import { isTestDomain } from "../../appliance/domain.ts";
import { minFreeDiskBytes } from "../../appliance/files/capacity.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import { Finding, type Steps } from "./steps.ts";

/** By then a time server has answered, if any does; in seconds since the start. */
const clockSeconds = 900;

export type ClockParts = Readonly<{
  domain: string;
  /** There once a time server has set the clock. */
  syncedPath: string;
  /** In seconds. */
  sinceStart?: number;
}>;

export async function lookAtClock(
  { domain, syncedPath, sinceStart = uptime() }: ClockParts,
  steps: Steps,
): Promise<void> {
  await steps.take("clock", async (see) => {
    const isSynced = await access(syncedPath).then(
      () => true,
      () => false,
    );
    if (isSynced) return see("set by a time server");
    if (isTestDomain(domain) || sinceStart < clockSeconds) return see("no time server has answered yet");
    throw new Finding(
      "no time server has answered since the start: the clock may be wrong, and with it every certificate",
      "let UDP port 123 out of your network, or name a time server by DHCP; see `timedatectl timesync-status`",
    );
  });
}

/** @param roomPath two numbers of bytes, for sign-up and for mail (appliance/files/status.ts). */
export async function lookAtDisk(
  paths: Readonly<{ data: string; writable: string; room: string }>,
  steps: Steps,
): Promise<void> {
  await steps.take("disk", async (see) => {
    await access(paths.writable, constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
      throw new Finding(
        `the data partition cannot be written (${cause.code})`,
        "switch off and on to repair it, and copy the card or disk to a new one",
        cause,
      );
    });
    const { bavail, blocks, bsize } = await statfs(paths.data);
    const free = bavail * bsize;
    const text = `${gigabytes(free)} of ${gigabytes(blocks * bsize)} free`;
    const [signUp = 0, mail = 0] = String((await readIfPresent(paths.room)) ?? "0 0")
      .split(" ")
      .map(Number);
    const mend = "a larger card or disk with a copy of this one is taken as it is";
    if (free < mail) throw new Finding(`${text}: mail is refused until there is room again`, mend);
    if (free < minFreeDiskBytes(signUp, blocks * bsize)) throw new Finding(`${text}: no new accounts`, mend);
    see(text);
  });
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
