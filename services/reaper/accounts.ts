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
  /** Whether somebody has the name now, in whatever state. */
  has(address: string): Promise<boolean>;
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
  /** Notes a login at `time`, Unix seconds; a day that is noted already costs nothing. */
  note(addresses: readonly string[], time: number): Promise<void>;
  /** Forgets logins and push tokens; on the disk when it resolves. */
  forget(addresses: readonly string[]): Promise<void>;
}>;

export type AccountParts = Readonly<{
  accounts: AccountList;
  lastLogins: LastLogins;
  mailboxes: Mailboxes;
  gone: GoneNames;
  /** Unix seconds. */
  now: number;
  report: ReaperReport;
  log: Log;
}>;

/** By what an account is idle. */
export type IdleRule = Readonly<{
  afterDays: number;
  ages: Ages;
  /** Who has a connection open right now. */
  connected: ReadonlySet<string>;
}>;

/** Accounts that leave, and why. */
export type Leaving = ReadonlyMap<string, keyof ReaperReport["accounts"]>;

/** Asked about at once: an address of 320 bytes each, so that neither side gathers much. */
const BATCH = 500;
/** Changes of the account list under way: a flush of the card for all of them, and a connection for each. */
const CHANGES_AT_ONCE = 32;
/** No delivery takes so long (Dovecot's LMTP server gives up on a silent client after minutes). Seconds. */
const LATEST_DELIVERY = 3_600;
/** Days up to here are waited for, later ones are nonsense: as services/metadata/store.ts has it. Seconds. */
const MOST_AHEAD = 366 * SECONDS_PER_DAY;

/**
 * Marks idle accounts as leaving; resolves to all that are leaving. Who is connected is not idle, and has logged in today
 * by that: a client may hold one connection for months, and be away when the next run looks.
 * @param rule undefined: nobody is idle, for the clock cannot be believed, or nobody knows who is connected
 */
export async function findLeaving(parts: AccountParts, rule: IdleRule | undefined): Promise<Leaving> {
  const { lastLogins, report, now } = parts;
  const leaving = new Map<string, keyof ReaperReport["accounts"]>();
  const present: string[] = [];
  const old: string[] = [];
  for await (const account of parts.accounts.list()) {
    const { address, state } = account;
    if (state === "leaving") leaving.set(address, "asked");
    // Who is blocked cannot log in.
    else if (state === "blocked" || rule === undefined) continue;
    else if (rule.connected.has(address)) present.push(address);
    else if (isOld(account, rule)) old.push(address);
  }
  await removeLate(parts);
  if (rule === undefined) return leaving;
  if (!report.dryRun) await lastLogins.note(present, now);
  if (old.length === 0) return leaving;
  const since = await lastLogins.since();
  const idleOf = async (addresses: readonly string[]): Promise<string[]> => {
    const days = await lastLogins.read(addresses);
    return addresses.filter((_, i) => isPast(days[i] ?? since, rule));
  };
  const idle: string[] = [];
  for (const addresses of inPieces(old, BATCH)) idle.push(...(await idleOf(addresses)));
  for (const addresses of inPieces(idle, CHANGES_AT_ONCE)) {
    // Who has logged in since the first look is no longer idle; there is no way back from leaving.
    const going = report.dryRun ? addresses : await idleOf(addresses);
    if (!report.dryRun) await inGroups(going, (address) => parts.accounts.leave(address));
    for (const address of going) leaving.set(address, "idle");
  }
  return leaving;
}

/** Whether an account was there, and let its owner in, before the time after which it is idle. */
function isOld({ createdDay, unblockedDay = createdDay }: ListedAccount, rule: IdleRule): boolean {
  return isPast(createdDay, rule) && isPast(unblockedDay, rule);
}

/** Takes away what was delivered to accounts that were gone by then, where nobody has the name (gone-names.ts). */
async function removeLate({ accounts, mailboxes, gone, now, report, log }: AccountParts): Promise<void> {
  const names = gone.read();
  if (report.dryRun || names.size === 0) return;
  const left = new Map(names);
  for (const [address, since] of names) {
    // Asked just before: what lies there may be the mail of whoever took the name a moment ago.
    const isTaken = await accounts.has(address);
    if (!isTaken && Math.abs(now - since) < LATEST_DELIVERY) continue;
    try {
      if (!isTaken && mailboxes.has(address)) mailboxes.removeAccount(address);
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
  for (const piece of inPieces(addresses, CHANGES_AT_ONCE)) await Promise.all(piece.map(change));
}

function* inPieces(addresses: readonly string[], size: number): Iterable<readonly string[]> {
  for (let i = 0; i < addresses.length; i += size) yield addresses.slice(i, i + size);
}

/** Whether a whole day is so long ago, at its latest moment. */
function isPast(day: number, { afterDays, ages: { now, cameAt } }: IdleRule): boolean {
  // Noted by a clock that ran ahead. Later logins may not be (services/metadata/store.ts).
  if (day > now && day <= now + MOST_AHEAD) return false;
  const latest = cameAt(day, Math.max(day, Math.min(now, day + SECONDS_PER_DAY - 1)));
  return now - latest > afterDays * SECONDS_PER_DAY;
}

/** Deletes all of leaving accounts, the row last, and counts those. One that cannot be deleted now stays leaving. */
export async function deleteAccounts(parts: AccountParts, leaving: Leaving): Promise<void> {
  const { mailboxes, lastLogins, accounts, report, log } = parts;
  const count = (address: string) => report.accounts[leaving.get(address) ?? "asked"]++;
  if (report.dryRun) return [...leaving.keys()].forEach(count);
  for (const piece of inPieces([...leaving.keys()], BATCH)) {
    const emptied: string[] = [];
    for (const address of piece) {
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
    await inGroups(emptied, async (address) => {
      // A message that was just being delivered when the account began to leave; one that still is: gone-names.ts.
      if (mailboxes.has(address)) mailboxes.removeAccount(address);
      await accounts.forget(address);
      count(address);
    });
  }
}
