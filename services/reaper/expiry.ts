/**
 * Goes through the mailboxes and removes what is too old, and what is too much in those that are nearly full. Called by
 * run.ts; what goes is decided by rules.ts.
 */
import type { ReaperReport } from "../../appliance/reaper-report.ts";
import type { Log } from "../lib/log.ts";
import type { Mailboxes } from "./mailboxes.ts";
import { nameless } from "./nameless.ts";
import {
  type Ages,
  findOld,
  findSurplus,
  type Limits,
  type Removal,
  type Settings,
  sizeOf,
} from "./rules.ts";

export type Sweep = Readonly<{
  mailboxes: Mailboxes;
  settings: Settings;
  limits: Limits;
  ages: Ages;
  report: ReaperReport;
  log: Log;
}>;

/** Deletes the messages, unless this run only shows what would go; counts them. */
export function removeAll({ mailboxes, report }: Sweep, removals: readonly Removal[]): void {
  for (const { message, reason } of removals) {
    if (!report.dryRun && !mailboxes.remove(message)) continue;
    report.removed[reason].messages++;
    report.removed[reason].bytes += message.size;
  }
}

/** Old and surplus messages of one account. Returns what is left. */
export function sweepMailbox(sweep: Sweep, address: string): Limits {
  const { settings, limits, ages } = sweep;
  const { old, rest } = findOld(sweep.mailboxes.messages(address), settings, ages);
  const surplus = findSurplus(rest, settings, limits, ages);
  removeAll(sweep, old);
  removeAll(sweep, surplus);
  return {
    bytes: sizeOf(rest) - sizeOf(surplus.map(({ message }) => message)),
    messages: rest.length - surplus.length,
  };
}

/** All accounts. One whose files cannot be read or removed is left to the next run, and hinders no other. */
export function sweepAll(sweep: Sweep): void {
  for (const address of sweep.mailboxes.addresses()) {
    sweep.report.mailboxes++;
    attempt(sweep, () => sweepMailbox(sweep, address));
  }
}

/** Runs `work`; a failure is counted, and the first one of a run told. */
export function attempt<T>({ report, log }: Pick<Sweep, "report" | "log">, work: () => T): T | undefined {
  try {
    return work();
  } catch (cause) {
    report.failures++;
    if (report.failures === 1)
      log.error("cannot remove what is to go; others may follow", {}, nameless(cause));
    return undefined;
  }
}
