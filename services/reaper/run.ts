/**
 * One run of the reaper. Called by main.ts with the device's parts, by tests and the bench with others.
 *
 *   expire    everything: accounts, messages, room on the disk. Once a day
 *   full      the mailboxes that Dovecot named as nearly full (full-notes.ts)
 *   room      those of them, and of earlier notes, that are not smaller yet, and the disk when it is nearly full. Often
 *   leaving   accounts that somebody asked to delete
 */
import { emptyReport, type ReaperReport } from "../../appliance/reaper-report.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Log } from "../lib/log.ts";
import { type AccountList, deleteAccounts, findLeaving, type LastLogins } from "./accounts.ts";
import type { ClockJudgement } from "./clock.ts";
import { makeRoom } from "./disk-room.ts";
import { attempt, type Sweep, sweepAll, sweepMailbox } from "./expiry.ts";
import type { FullNotes } from "./full-notes.ts";
import type { GoneNames } from "./gone-names.ts";
import type { Mailboxes } from "./mailboxes.ts";
import type { QueueBytes } from "./queue-room.ts";
import { isBeyond, type Limits } from "./rules.ts";

export const runModes = ["expire", "full", "room", "leaving"] as const;
export type RunMode = (typeof runModes)[number];

export type RunParts = Readonly<{
  config: Pick<RelayConfig, "accounts" | "messages">;
  /** What Dovecot lets a mailbox hold. */
  limits: Limits;
  mailboxes: Mailboxes;
  accounts: AccountList;
  lastLogins: LastLogins;
  /** Who has a connection open right now. */
  connected(): Promise<ReadonlySet<string>>;
  notes: FullNotes;
  gone: GoneNames;
  /** What Dovecot noted before this run, taken by main.ts. */
  noted: readonly string[];
  clock: ClockJudgement;
  /** Unix seconds. */
  now: number;
  /** Free bytes on the disk with the mail, and how many Postfix demands. */
  freeBytes(): number;
  reserve: number;
  /** What Postfix' queue takes of that disk; undefined: unknown. */
  queueBytes: QueueBytes | undefined;
  log: Log;
}>;

/** Resolves to what was done, or with `dryRun` would be; what did not work is counted and logged. */
export async function runReaper(mode: RunMode, dryRun: boolean, parts: RunParts): Promise<ReaperReport> {
  const { clock, config, log } = parts;
  const started = performance.now();
  const report = emptyReport(dryRun);
  const ages = { now: parts.now, cameAt: clock.cameAt };
  const sweep: Sweep = { ...parts, settings: config.messages, ages, report };
  if (clock.refusal !== undefined) {
    report.refusal = clock.refusal;
    log.warn("nothing is deleted by its age", { because: clock.refusal });
  }
  const isSure = clock.refusal === undefined;
  const accountParts = { ...parts, report };
  // Old mail goes even when a service that knows accounts does not answer.
  const withAccounts = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (cause) {
      report.failures++;
      log.error("cannot look after the accounts", {}, cause);
      return undefined;
    }
  };
  const connected = isSure && mode === "expire" ? await withAccounts(parts.connected) : undefined;
  const idleRule = connected && { afterDays: config.accounts.deleteIdleAfterDays, ages, connected };
  const leaving =
    mode === "expire" || mode === "leaving"
      ? await withAccounts(() => findLeaving(accountParts, idleRule))
      : undefined;
  if (isSure && mode === "expire") sweepAll(sweep);
  if (mode === "full" || mode === "room") purgeNoted(sweep, mode, parts, isSure);
  // After the mailboxes: deliveries that were under way when an account began to leave have ended.
  if (leaving !== undefined) await withAccounts(() => deleteAccounts(accountParts, leaving));
  if (isSure && (mode === "expire" || mode === "room")) makeRoom(sweep, parts);
  report.time = parts.now;
  report.seconds = (performance.now() - started) / 1000;
  return report;
}

/**
 * Makes the noted mailboxes smaller; one whose messages are too young for that, or may be, is looked at again, and so is
 * one that is not as full as Dovecot said, for Dovecot says it only once.
 */
function purgeNoted(
  sweep: Sweep,
  mode: "full" | "room",
  { notes, noted }: Pick<RunParts, "notes" | "noted">,
  isSure: boolean,
): void {
  const { report, settings, limits } = sweep;
  const fresh = new Set(noted);
  for (const address of mode === "full" ? noted : notes.waiting()) {
    report.mailboxes++;
    const before = report.removed.full.messages;
    const left = isSure ? attempt(sweep, () => sweepMailbox(sweep, address)) : undefined;
    const isUnchanged = report.removed.full.messages === before;
    const isFull = left === undefined || isBeyond(left, settings.purgeAbovePercent, limits);
    if (!isFull && !(isUnchanged && fresh.has(address))) notes.done(address);
  }
}
