/**
 * The list of accounts: address and password hash, in SQLite. It is the one thing a backup must hold, for
 * without it the next stranger who logs in with a name owns that name. Called by accounts.ts. Looking up is
 * done here; what changes is written by a thread of its own (store-writer.ts), many with one flush of the disk.
 */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { AccountState, ListedAccount } from "../../appliance/account-states.ts";
import { canaryRange } from "../../appliance/canary.ts";
import { DatabaseError, openDatabase, openDatabaseAlone } from "../lib/database.ts";
import type { Log } from "../lib/log.ts";
import { isOneOf, sqliteErrors } from "../lib/sqlite-errors.ts";
import { accountMigrations } from "./account-schema.ts";
import { createInviteList, type InviteList } from "./invites.ts";
import type { InviteUse, ListChange, ListOutcome } from "./store-writer.ts";
import { AccountListError, createWriter, threadIdleMs } from "./writer-thread.ts";

const secondsPerDay = 86_400;

/** A look-up waits this long for another process, in milliseconds: all logins wait with it. */
const lookUpBusyMs = 200;

/** Of the list, read in one go: a millisecond, in which no login is answered. */
const rowsInPiece = 500;

/** In SQL: the account is no canary's. */
const isPeoples = `NOT (address >= '${canaryRange.from}' AND address < '${canaryRange.to}')`;

/** How often a list that could only be opened for reading is tried again, in milliseconds. */
const reopenMs = 30_000;

export type AccountStore = Readonly<{
  /**
   * The stored password hash of a normalised address, whatever its state, or undefined when there is no such account.
   * @throws AccountListError when a damaged list cannot tell; Error of SQLite.
   */
  findPassword(address: string): string | undefined;
  /** @throws as findPassword does. */
  findState(address: string): AccountState | undefined;
  /** @throws as findPassword does. */
  findListed(address: string): ListedAccount | undefined;
  /**
   * All people's accounts in the order of their addresses, in pieces: whoever reads slowly holds up nobody. What changes
   * meanwhile may be in it or not. @throws Error of SQLite
   */
  list(): Iterable<readonly ListedAccount[]>;
  /**
   * False when there is no such account, or it is leaving: from there no way leads back. `now` in Unix seconds.
   * @throws as create does.
   */
  setState(address: string, state: AccountState, now?: number): Promise<boolean>;
  /** Takes an account off the list, from when on its name is free. False unless it was leaving. @throws as create does. */
  forget(address: string): Promise<boolean>;
  /**
   * Adds an account; false when the address is taken (whoever took it first keeps it). When it resolves to
   * true, the account is on disk. `now` in Unix seconds.
   * @throws AccountListError when the disk is full or failing, or the list locked too long or damaged.
   */
  create(address: string, passwordHash: string, now: number): Promise<boolean>;
  /**
   * Adds an account and takes a use of an invitation, both or neither; or gives an account again whose owner never
   * heard of it (lost-answer.ts). "no-invite": it has no use left, or is none.
   * @throws AccountListError as create does.
   */
  createInvited(
    account: Readonly<{ address: string; passwordHash: string }>,
    use: InviteUse,
  ): Promise<Readonly<{ made: string }> | "taken" | "no-invite">;
  /** Whether nobody has logged in to this account yet, which an invitation made. */
  isUnused(address: string): boolean;
  /**
   * From now on it is its owner's for good. False when it was so already, or `passwordHash` is no longer its password's.
   * @throws AccountListError as create does.
   */
  noteUsed(address: string, passwordHash: string): Promise<boolean>;
  /**
   * Stores another hash of the same password; false when `stored` is not what is stored now.
   * @throws AccountListError as create does.
   */
  rehash(address: string, stored: string, passwordHash: string): Promise<boolean>;
  /** People's accounts: the canary's does not count. */
  count(): number;
  /** The account of the canary (appliance/canary.ts), or undefined when there is none yet. */
  findCanary(): string | undefined;
  /** How many of people's accounts are in each state that any is in. */
  countByState(): ReadonlyMap<AccountState, number>;
  /** Somebody is expected to make an account soon. */
  expectAccounts(): void;
  invites: InviteList;
  /** What the operator chose on the device, and what the settings said then. @throws Error of SQLite */
  readModeChoice(): Readonly<{ mode: string; settingsMode: string }> | undefined;
  /** Keeps a choice; undefined forgets it. @throws AccountListError as create does. */
  keepModeChoice(choice: Readonly<{ mode: string; settingsMode: string }> | undefined): Promise<void>;
  /** Waits for accounts under way. */
  close(): Promise<void>;
}>;

export type AccountStoreOptions = Readonly<{
  path: string;
  /** store-writer.ts, or what it was bundled to. */
  writerProgram: URL | string;
  log: Log;
  /** A steady clock in milliseconds. */
  steadyNow?: () => number;
  threadIdleMs?: number;
}>;

/**
 * Opens or makes the account list. A list with a damaged place is opened: accounts elsewhere in it go on, and
 * none is made, since a name that cannot be found may still be somebody's.
 * @throws DatabaseError when it is lost, unusable as a whole, or of a newer version.
 */
export function openAccountStore(options: AccountStoreOptions): AccountStore {
  const { path, writerProgram, log, steadyNow = () => performance.now() } = options;
  let reader = openReader(path, log);
  const openWriter = () => createWriter(path, writerProgram, options.threadIdleMs ?? threadIdleMs);
  let writer = reader.alone ? undefined : openWriter();
  let openedAt = steadyNow();
  let damage = findDamage(reader.database);
  if (damage !== undefined) reportDamage();

  function reportDamage(): void {
    log.error(
      "the account list is damaged: no account is made, those that can be read go on; restore a backup of it",
      { path, damage },
    );
  }

  /** Runs a statement; the first sign of damage is remembered. */
  const guarded = <T>(statement: () => T): T => {
    try {
      return statement();
    } catch (cause) {
      if (isOneOf(cause, sqliteErrors.damage) && damage === undefined) {
        damage = (cause as Error).message;
        reportDamage();
      }
      throw cause;
    }
  };

  /** The disk was full at the start: is there room now? */
  const reopenIfDue = (): void => {
    if (steadyNow() - openedAt < reopenMs) return;
    openedAt = steadyNow();
    reader.database.close();
    try {
      reader = openReader(path, log);
    } catch (cause) {
      // Without a list nothing can be answered: the service ends, and says why at its next start.
      setImmediate(() => {
        throw cause;
      });
      throw cause;
    }
    if (reader.alone) return;
    writer = openWriter();
    log.info("the account list is open for new accounts again", { path });
  };

  const change = async (wanted: ListChange): Promise<ListOutcome> => {
    if (damage !== undefined) throw new AccountListError("the account list is damaged and takes no accounts");
    if (writer === undefined) reopenIfDue();
    if (writer === undefined)
      throw new AccountListError("the disk is full: the account list takes no accounts");
    return writer.make(wanted);
  };

  const find = (address: string): Row | undefined => {
    const row = guarded(() => reader.find.get(address));
    if (row === undefined && damage !== undefined)
      throw new AccountListError("the damaged account list cannot tell who is unknown");
    return row;
  };

  return {
    findPassword(address) {
      const row = find(address);
      return row && String(row.password);
    },
    findState(address) {
      const row = find(address);
      return row && stateOf(row);
    },
    findListed(address) {
      const row = find(address);
      return row && listed(row);
    },
    *list() {
      for (let after = ""; ; ) {
        const rows = guarded(() => reader.listAfter.all(after, rowsInPiece)).map(listed);
        const last = rows.at(-1);
        if (last === undefined) return;
        yield rows;
        after = last.address;
      }
    },
    setState: async (address, state, now = Date.now() / 1000) =>
      (await change({ kind: "set-state", address, state, day: dayOf(now) })).made,
    forget: async (address) => (await change({ kind: "forget", address })).made,
    async create(address, password, now) {
      return (await change({ kind: "add", address, password, createdDay: dayOf(now) })).made;
    },
    async createInvited({ address, passwordHash: password }, invite) {
      const createdDay = dayOf(invite.now);
      const outcome = await change({ kind: "add", address, password, createdDay, invite });
      if (outcome.made) return { made: outcome.address ?? address };
      return outcome.noInvite === true ? "no-invite" : "taken";
    },
    isUnused: (address) => guarded(() => reader.findUnused.get(address)) !== undefined,
    noteUsed: async (address, stored) => (await change({ kind: "used", address, stored })).made,
    rehash: async (address, stored, password) =>
      (await change({ kind: "rehash", address, password, stored })).made,
    invites: createInviteList({ read: (query) => guarded(() => query(reader.database)), change }),
    readModeChoice() {
      const row = guarded(() =>
        reader.database.prepare("SELECT mode, settings_mode FROM sign_up_choice").get(),
      );
      return row && { mode: String(row.mode), settingsMode: String(row.settings_mode) };
    },
    async keepModeChoice(choice) {
      await change(choice === undefined ? { kind: "forget-mode" } : { kind: "choose-mode", ...choice });
    },
    count: () => {
      const query = `SELECT count(*) AS count FROM accounts WHERE ${isPeoples}`;
      const row = guarded(() => reader.database.prepare(query).get());
      return Number(row?.count);
    },
    findCanary() {
      const query = `SELECT address FROM accounts WHERE NOT (${isPeoples})`;
      const row = guarded(() => reader.database.prepare(query).get());
      return row && String(row.address);
    },
    countByState() {
      const query = `SELECT state, count(*) AS count FROM accounts WHERE ${isPeoples} GROUP BY state`;
      const rows = guarded(() => reader.database.prepare(query).all());
      return new Map(rows.map((row) => [stateOf(row), Number(row.count)]));
    },
    expectAccounts: () => writer?.startEarly(),
    async close() {
      await writer?.close();
      reader.database.close();
    },
  };
}

type Row = Record<string, SQLOutputValue>;

function stateOf({ state }: Row): AccountState {
  return state === "blocked" || state === "leaving" ? state : "active";
}

function listed(row: Row): ListedAccount {
  return {
    address: String(row.address),
    createdDay: Number(row.created_day),
    state: stateOf(row),
    ...(row.unblocked_day !== null && { unblockedDay: Number(row.unblocked_day) }),
  };
}

function dayOf(now: number): number {
  return Math.floor(now / secondsPerDay) * secondsPerDay;
}

type Reader = Readonly<{
  database: DatabaseSync;
  find: ReturnType<DatabaseSync["prepare"]>;
  listAfter: ReturnType<DatabaseSync["prepare"]>;
  findUnused: ReturnType<DatabaseSync["prepare"]>;
  /** Opened for reading only: nothing else can open it. */
  alone: boolean;
}>;

function openReader(path: string, log: Log): Reader {
  const ready = (database: DatabaseSync, alone: boolean): Reader => {
    database.exec(`PRAGMA busy_timeout = ${lookUpBusyMs}`);
    return {
      database,
      find: database.prepare(
        "SELECT address, password, created_day, state, unblocked_day FROM accounts WHERE address = ?",
      ),
      listAfter: database.prepare(
        `SELECT address, created_day, state, unblocked_day FROM accounts WHERE address > ? AND ${isPeoples} ORDER BY address LIMIT ?`,
      ),
      findUnused: database.prepare("SELECT 1 FROM unused_accounts WHERE address = ?"),
      alone,
    };
  };
  try {
    return ready(
      openDatabase(path, { durability: "full", migrations: accountMigrations, irreplaceable: true }),
      false,
    );
  } catch (cause) {
    if (!(cause instanceof DatabaseError && isOneOf(cause.cause, sqliteErrors.noRoom))) throw cause;
    log.error("the disk is full: accounts that exist go on, none is made", { path }, cause);
    return ready(openDatabaseAlone(path, accountMigrations), true);
  }
}

/** What is wrong with the list as a whole, or undefined. Takes 15 ms per 100 000 accounts on a PC. */
function findDamage(database: DatabaseSync): string | undefined {
  try {
    const result = String(database.prepare("PRAGMA integrity_check(1)").get()?.integrity_check);
    return result === "ok" ? undefined : result;
  } catch (cause) {
    if (isOneOf(cause, sqliteErrors.damage)) return (cause as Error).message;
    throw cause;
  }
}
