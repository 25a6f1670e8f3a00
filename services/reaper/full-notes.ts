/**
 * Notes about mailboxes that are nearly full: empty files named by address in two folders in memory. Dovecot's quota
 * warning makes one in `full` (appliance/files/reaper.ts), which starts a run; a mailbox that cannot be made smaller yet,
 * because all in it is of the last hours, is noted in `again`. Called by run.ts.
 */
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

export type FullNotes = Readonly<{
  /** Takes the notes of Dovecot, or those of earlier runs. */
  take(): string[];
  takeAgain(): string[];
  again(address: string): void;
}>;

/** More than that are left for the next run; each is a mailbox of hundreds of megabytes. */
const MOST_AT_ONCE = 10_000;

export function openFullNotes(full: string, again: string): FullNotes {
  const takeFrom = (folder: string): string[] => {
    const names = readdirSync(folder).slice(0, MOST_AT_ONCE);
    // Before the mailbox is looked at: what is noted meanwhile is a new note.
    for (const name of names) rmSync(join(folder, name), { force: true, recursive: true });
    return names.filter((name) => name.includes("@"));
  };
  return {
    take: () => takeFrom(full),
    takeAgain: () => takeFrom(again),
    again: (address) => closeSync(openSync(join(again, address), "w")),
  };
}
