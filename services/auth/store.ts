/**
 * The list of accounts: address and password hash, in SQLite. It is the one thing a backup must hold, for
 * without it the next stranger who logs in with a name owns that name. Called by accounts.ts. Looking up is
 * done here; what changes is written by a thread of its own (store-writer.ts), many with one flush of the disk.
 */
import type { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { DatabaseError, openDatabase, openDatabaseAlone } from "../lib/database.ts";
import type { Log } from "../lib/log.ts";
import { isOneOf, sqliteErrors } from "./sqlite-errors.ts";
import type { ListChange, WriterReply, WriterRequest } from "./store-writer.ts";

const secondsPerDay = 86_400;

export const accountMigrations = [
  `CREATE TABLE accounts (
     address TEXT PRIMARY KEY NOT NULL,
     password TEXT NOT NULL,
     -- Start of the UTC day of creation, Unix seconds: the exact time would tell more than anybody needs.
     created_day INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
] as const;

/** A look-up waits this long for another process, in milliseconds: all logins wait with it. */
const lookUpBusyMs = 200;

/** Changes in one transaction: enough to share a slow disk's flush, few enough to be written in one go. */
const maxBatch = 256;

/**
 * How long the thread stays when nobody signs up, in milliseconds. It takes 11 MB, and 50 ms on a PC to start:
 * neither is for every relay to keep up all day, nor for every sign-up to wait for.
 */
const threadIdleMs = 600_000;

/** How often a list that could only be opened for reading is tried again, in milliseconds. */
const reopenMs = 30_000;

/** The list cannot answer for certain, or take no account now: a temporary failure for whoever asks. */
export class AccountListError extends Error {
  override name = "AccountListError";
}

export type AccountStore = Readonly<{
  /**
   * The stored password hash of a normalised address, or undefined when there is no such account.
   * @throws AccountListError when a damaged list cannot tell; Error of SQLite.
   */
  findPassword(address: string): string | undefined;
  /**
   * Adds an account; false when the address is taken (whoever took it first keeps it). When it resolves to
   * true, the account is on disk. `now` in Unix seconds.
   * @throws AccountListError when the disk is full or failing, or the list locked too long or damaged.
   */
  create(address: string, passwordHash: string, now: number): Promise<boolean>;
  /**
   * Stores another hash of the same password; false when `stored` is not what is stored now.
   * @throws AccountListError as create does.
   */
  rehash(address: string, stored: string, passwordHash: string): Promise<boolean>;
  count(): number;
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

  const change = async (wanted: ListChange): Promise<boolean> => {
    if (damage !== undefined) throw new AccountListError("the account list is damaged and takes no accounts");
    if (writer === undefined) reopenIfDue();
    if (writer === undefined)
      throw new AccountListError("the disk is full: the account list takes no accounts");
    return writer.make(wanted);
  };

  return {
    findPassword(address) {
      const row = guarded(() => reader.find.get(address));
      if (row !== undefined) return String(row.password);
      if (damage !== undefined)
        throw new AccountListError("the damaged account list cannot tell who is unknown");
      return undefined;
    },
    create(address, password, now) {
      const createdDay = Math.floor(now / secondsPerDay) * secondsPerDay;
      return change({ kind: "add", address, password, createdDay });
    },
    rehash: (address, stored, password) => change({ kind: "rehash", address, password, stored }),
    count: () =>
      Number(guarded(() => reader.database.prepare("SELECT count(*) AS count FROM accounts").get())?.count),
    async close() {
      await writer?.close();
      reader.database.close();
    },
  };
}

type Reader = Readonly<{
  database: DatabaseSync;
  find: ReturnType<DatabaseSync["prepare"]>;
  /** Opened for reading only: nothing else can open it. */
  alone: boolean;
}>;

function openReader(path: string, log: Log): Reader {
  const ready = (database: DatabaseSync, alone: boolean): Reader => {
    database.exec(`PRAGMA busy_timeout = ${lookUpBusyMs}`);
    return { database, find: database.prepare("SELECT password FROM accounts WHERE address = ?"), alone };
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

type Pending = Readonly<{
  change: ListChange;
  resolve: (made: boolean) => void;
  reject: (error: Error) => void;
}>;

/** The thread that writes, started when needed. While it waits for the disk, the next ones gather. */
function createWriter(path: string, program: URL | string, idleMs: number) {
  let thread: Worker | undefined;
  let idleTimer: NodeJS.Timeout | undefined;
  const gathering: Pending[] = [];
  let underWay: readonly Pending[] = [];
  let finished: (() => void) | undefined;

  const start = (): Worker => {
    const request: WriterRequest = { path };
    const started = new Worker(program, { workerData: request });
    started.on("message", settle);
    // Nothing can be made without it: the service ends and systemd starts it afresh (lib/shutdown.ts).
    started.on("error", (error) => {
      throw error;
    });
    return started;
  };

  const settle = (reply: WriterReply): void => {
    const answered = underWay;
    underWay = [];
    for (const [index, { resolve, reject }] of answered.entries()) {
      if ("error" in reply) reject(new AccountListError(`the account list took no account: ${reply.error}`));
      else resolve(reply.made[index] === true);
    }
    send();
  };

  const send = (): void => {
    if (underWay.length > 0) return;
    underWay = gathering.splice(0, maxBatch);
    if (underWay.length > 0) {
      clearTimeout(idleTimer);
      thread ??= start();
      thread.postMessage(underWay.map(({ change }) => change));
      return;
    }
    finished?.();
    idleTimer = setTimeout(end, idleMs).unref();
  };

  /** Undefined when there is no thread to end. */
  const end = (): Promise<unknown> | undefined => {
    const ending = thread;
    thread = undefined;
    if (ending === undefined) return undefined;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.postMessage("close");
    return ended;
  };

  return {
    make: (change: ListChange): Promise<boolean> =>
      new Promise((resolve, reject) => {
        gathering.push({ change, resolve, reject });
        send();
      }),
    async close(): Promise<void> {
      if (underWay.length > 0) {
        await new Promise<void>((resolve) => {
          finished = resolve;
        });
      }
      clearTimeout(idleTimer);
      await end();
    },
  };
}
