/**
 * Deletes accounts: those without a login for too long, and those that somebody asked to delete. The order makes a crash
 * at any point harmless: first nobody can log in and no mail is taken (state "leaving", kept on the disk), then mail and
 * indexes go, then tokens and last login, and the row in the account list last; until then the name is nobody's. The next
 * run goes on where one was cut off. Called by run.ts.
 */
import type { ListedAccount } from "../../appliance/account-states.ts";
import type { ReaperReport } from "../../appliance/reaper-report.ts";
import type { Log } from "../lib/log.ts";
import type { GoneNames } from "./gone-names.ts";
import type { Mailboxes } from "./mailboxes.ts";
import { nameless } from "./nameless.ts";
import { type Ages, SECONDS_PER_DAY } from "./rules.ts";

/** The account list, as services/auth keeps it (account-list.ts). */
export type AccountList = Readonly<{
  list(): AsyncIterable<ListedAccount>;
  /** From now on nobody can log in, and no mail is taken for it. */
  leave(address: string): Promise<void>;
  /** Takes the row of a leaving account away: the name is free. */
  forget(address: string): Promise<void>;
}>;

/** What services/metadata keeps of accounts (last-logins.ts). */
export type LastLogins = Readonly<{
  /** Start of the UTC day since when logins are kept, Unix seconds: of earlier ones nothing is known. */
  since(): Promise<number>;
  /** Start of the UTC day of the last login, Unix seconds, or undefined; in the order of the addresses. */
  read(addresses: readonly string[]): Promise<(number | undefined)[]>;
  /** Forgets logins and push tokens; on the disk when it resolves. */
  forget(addresses: readonly string[]): Promise<void>;
}>;

export type AccountParts = Readonly<{
  accounts: AccountList;
  lastLogins: LastLogins;
  /** Who has a connection open right now. */
  connected(): Promise<ReadonlySet<string>>;
  mailboxes: Mailboxes;
  gone: GoneNames;
  /** Unix seconds. */
  now: number;
  report: ReaperReport;
  log: Log;
}>;

/** Asked about at once: an address of 320 bytes each, so that neither side gathers much. */
const BATCH = 500;
/** Changes of the account list under way: a flush of the card for all of them, and a connection for each. */
const CHANGES_AT_ONCE = 32;
/** No delivery takes so long (Dovecot's LMTP server gives up on a silent client after minutes). Seconds. */
const LATEST_DELIVERY = 3_600;
/** Days up to here are waited for, later ones are nonsense: as services/metadata/store.ts has it. Seconds. */
const MOST_AHEAD = 366 * SECONDS_PER_DAY;

/**
 * Marks idle accounts as leaving; resolves to all that are leaving.
 * @param ages undefined: nobody is idle, for the clock cannot be believed
 */
export async function findLeaving(
  parts: AccountParts,
  idleAfterDays: number,
  ages: Ages | undefined,
): Promise<string[]> {
  const leaving: string[] = [];
  const old: ListedAccount[] = [];
  const gone = parts.gone.read();
  const taken = new Set<string>();
  for await (const account of parts.accounts.list()) {
    if (gone.has(account.address)) taken.add(account.address);
    if (account.state === "leaving") leaving.push(account.address);
    // Who is blocked cannot log in.
    else if (
      account.state !== "blocked" &&
      ages !== undefined &&
      isPast(account.createdDay, idleAfterDays, ages) &&
      isPast(account.unblockedDay ?? account.createdDay, idleAfterDays, ages)
    )
      old.push(account);
  }
  // Only now: the list was not cut off.
  removeLate(parts, gone, taken);
  parts.report.accounts.asked = leaving.length;
  if (ages === undefined) return leaving;
  const idle: string[] = [];
  const since = old.length > 0 ? await parts.lastLogins.since() : 0;
  for (let i = 0; i < old.length; i += BATCH) {
    const addresses = old.slice(i, i + BATCH).map(({ address }) => address);
    const days = await parts.lastLogins.read(addresses);
    idle.push(...addresses.filter((_, j) => isPast(days[j] ?? since, idleAfterDays, ages)));
  }
  if (idle.length === 0) return leaving;
  // A client may hold one connection for months.
  const connected = await parts.connected();
  const going = idle.filter((address) => !connected.has(address));
  if (!parts.report.dryRun) await inGroups(going, (address) => parts.accounts.leave(address));
  parts.report.accounts.idle = going.length;
  return [...leaving, ...going];
}

/** Takes away what was delivered to accounts that were gone by then, where nobody has the name (gone-names.ts). */
function removeLate(
  { mailboxes, gone, now, report, log }: AccountParts,
  names: ReadonlyMap<string, number>,
  taken: ReadonlySet<string>,
): void {
  if (report.dryRun || names.size === 0) return;
  const left = new Map(names);
  for (const [address, since] of names) {
    if (!taken.has(address) && Math.abs(now - since) < LATEST_DELIVERY) continue;
    try {
      if (!taken.has(address) && mailboxes.has(address)) mailboxes.removeAccount(address);
      left.delete(address);
    } catch (cause) {
      report.failures++;
      log.error("cannot delete what came late for an account that is gone", {}, nameless(cause));
    }
  }
  gone.keep(left);
}

/** The account list syncs its changes together when they come together. */
async function inGroups(
  addresses: readonly string[],
  change: (address: string) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < addresses.length; i += CHANGES_AT_ONCE)
    await Promise.all(addresses.slice(i, i + CHANGES_AT_ONCE).map(change));
}

/** Whether a whole day is so long ago, at its latest moment. */
function isPast(day: number, days: number, { now, cameAt }: Ages): boolean {
  // Noted by a clock that ran ahead. Later logins may not be (services/metadata/store.ts).
  if (day > now && day <= now + MOST_AHEAD) return false;
  const latest = cameAt(day, Math.max(day, Math.min(now, day + SECONDS_PER_DAY - 1)));
  return now - latest > days * SECONDS_PER_DAY;
}

/** Deletes all of leaving accounts, the row last. One that cannot be deleted now stays leaving. */
export async function deleteAccounts(parts: AccountParts, leaving: readonly string[]): Promise<void> {
  const { mailboxes, lastLogins, accounts, report, log } = parts;
  if (report.dryRun) return;
  for (let i = 0; i < leaving.length; i += BATCH) {
    const emptied: string[] = [];
    for (const address of leaving.slice(i, i + BATCH)) {
      try {
        mailboxes.removeAccount(address);
        emptied.push(address);
      } catch (cause) {
        report.failures++;
        log.error("cannot delete the mail of an account", {}, nameless(cause));
      }
    }
    await lastLogins.forget(emptied);
    parts.gone.note(emptied, parts.now);
    await inGroups(emptied, (address) => {
      // A message that was just being delivered when the account began to leave; one that still is: gone-names.ts.
      if (mailboxes.has(address)) mailboxes.removeAccount(address);
      return accounts.forget(address);
    });
  }
}
