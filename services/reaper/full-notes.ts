/**
 * Notes about mailboxes that are nearly full: empty files named by address in two folders in memory. Dovecot's quota
 * warning makes one in `full` (appliance/files/reaper.ts), which starts a run. The run first of all moves it to `again`:
 * while there is one in `full`, systemd starts the next run, were it that each fails. In `again` it stays until the mailbox
 * was made smaller, which cannot be as long as all in it is of the last hours. Called by main.ts and run.ts.
 */
import { closeSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

export type FullNotes = Readonly<{
  /** Moves Dovecot's notes to `again`. Returns their addresses. */
  take(): string[];
  /** Addresses of all notes in `again`. */
  waiting(): string[];
  /** Takes the note in `again` away. */
  done(address: string): void;
}>;

/** More than that are left for the next run; each is a mailbox of hundreds of megabytes. */
const MOST_AT_ONCE = 10_000;

export function openFullNotes(full: string, again: string): FullNotes {
  const remove = (path: string) => rmSync(path, { force: true, recursive: true });
  const isAddress = (name: string) => name.includes("@");
  return {
    take() {
      const names = readdirSync(full).slice(0, MOST_AT_ONCE);
      for (const name of names) {
        remove(join(full, name));
        if (isAddress(name)) closeSync(openSync(join(again, name), "w"));
      }
      return names.filter(isAddress);
    },
    waiting: () => readdirSync(again).filter(isAddress).slice(0, MOST_AT_ONCE),
    done: (address) => remove(join(again, address)),
  };
}
