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
  /** That went: `idle`, without a login for too long; `asked`, by somebody's wish or since an earlier run was cut off. */
  accounts: { idle: number; asked: number };
  /** Mailboxes and accounts that it could not work on; the log says why. */
  failures: number;
  seconds: number;
};

/** Whether a report is one: it lies where whoever took over the reaper may write what they like. */
export function isReaperReport({ removed, accounts, ...others }: ReaperReport): boolean {
  const { time, mailboxes, failures, seconds, dryRun, refusal } = others;
  const known = emptyReport(false).removed;
  const numbers = [
    ...[time, mailboxes, failures, seconds, accounts.idle, accounts.asked],
    ...Object.values(removed).flatMap(({ messages, bytes }) => [messages, bytes]),
  ];
  return (
    numbers.every(Number.isFinite) &&
    Object.keys(removed).every((reason) => Object.hasOwn(known, reason)) &&
    typeof dryRun === "boolean" &&
    (refusal === undefined || typeof refusal === "string")
  );
}

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
