/** What a run of services/reaper did or would do: written by it, shown by homing-ctl. Counts alone, no addresses. */

export type Removed = { messages: number; bytes: number };

export type ReaperReport = {
  /** Unix time of the end, in seconds. */
  time: number;
  /** Whether all of it is only what would be. */
  dryRun: boolean;
  /** Why nothing went by its age: the clock cannot be believed. */
  refusal?: string;
  /** Accounts with a mailbox that were looked at. */
  mailboxes: number;
  /** By reason. Bytes as sent; on the disk they are fewer. */
  removed: Record<"age" | "large" | "full" | "room" | "unfinished", Removed>;
  /** `idle`: without a login for too long; `asked`: deleted by somebody's wish. */
  accounts: { idle: number; asked: number };
  /** Mailboxes and accounts that it could not work on; the log says why. */
  failures: number;
  seconds: number;
};

export function emptyReport(dryRun: boolean): ReaperReport {
  const none = (): Removed => ({ messages: 0, bytes: 0 });
  return {
    time: 0,
    dryRun,
    mailboxes: 0,
    removed: { age: none(), large: none(), full: none(), room: none(), unfinished: none() },
    accounts: { idle: 0, asked: 0 },
    failures: 0,
    seconds: 0,
  };
}
