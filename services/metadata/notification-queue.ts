/**
 * Tokens that are to be handed over to the notification proxy, in SQLite: one row a token, however many messages came,
 * and nothing of the account. Called by notifier.ts, which has two: one in memory for first attempts, which spares a card
 * the writing, and one on the disk for what did not succeed at once.
 */
import type { DatabaseSync } from "node:sqlite";
import { DatabaseError, openDatabase } from "../lib/database.ts";
import { isOneOf, sqliteErrors } from "../lib/sqlite-errors.ts";

/** Times are Unix seconds, with fractions. */
export type Notification = Readonly<{
  token: string;
  /** When the newest message came. */
  since: number;
  /** Attempts that failed. */
  tries: number;
  /** Not to be attempted before. */
  due: number;
}>;

type Tokens = Readonly<{ has(token: string): boolean; size: number }>;

const migrations = [
  `CREATE TABLE notifications (
     token TEXT PRIMARY KEY NOT NULL,
     since REAL NOT NULL,
     tries INTEGER NOT NULL,
     due REAL NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX notifications_by_due ON notifications (due)`,
] as const;

export type NotificationQueue = Readonly<{
  /** Takes the place of what is there for that token. @throws Error of SQLite */
  put(notification: Notification): void;
  find(token: string): Notification | undefined;
  remove(token: string): void;
  /** The one that is due first, among those whose token is none of `except`. */
  first(except: Tokens): Notification | undefined;
  /** All, the first due first; for moving them. */
  all(): Notification[];
  clear(): void;
  size(): number;
  close(): void;
}>;

/** What is in the file is not what SQLite wrote. */
export class DamagedQueueError extends DatabaseError {
  override name = "DamagedQueueError";
}

/**
 * Opens or makes the database at `path`; a power cut may take its last changes. It is small, so it is read through.
 * @throws DamagedQueueError; DatabaseError, or that of the file system, when it cannot be used otherwise
 */
export function openNotificationQueue(path: string): NotificationQueue {
  const database = openSound(path);
  const put = database.prepare(
    `INSERT INTO notifications (token, since, tries, due) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET since = excluded.since, tries = excluded.tries, due = excluded.due`,
  );
  const find = database.prepare("SELECT token, since, tries, due FROM notifications WHERE token = ?");
  const remove = database.prepare("DELETE FROM notifications WHERE token = ?");
  const list = database.prepare("SELECT token, since, tries, due FROM notifications ORDER BY due LIMIT ?");
  const count = database.prepare("SELECT count(*) AS count FROM notifications");
  return {
    put: ({ token, since, tries, due }) => void put.run(token, since, tries, due),
    find: (token) => rows(find.all(token))[0],
    remove: (token) => void remove.run(token),
    // No more than those can stand in front of it.
    first: (except) => rows(list.all(except.size + 1)).find(({ token }) => !except.has(token)),
    all: () => rows(list.all(-1)),
    clear: () => database.exec("DELETE FROM notifications"),
    size: () => Number(count.get()?.count),
    close: () => database.close(),
  };
}

function openSound(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = openDatabase(path, { durability: "normal", migrations });
    const found = String(database.prepare("PRAGMA quick_check(1)").get()?.quick_check);
    if (found !== "ok") throw new DamagedQueueError(`${path}: ${found}`);
    return database;
  } catch (cause) {
    database?.close();
    const reason = cause instanceof DatabaseError ? cause.cause : cause;
    if (!isOneOf(reason, sqliteErrors.damage)) throw cause;
    throw new DamagedQueueError(`${path}: ${(reason as Error).message}`, { cause });
  }
}

function rows(found: readonly Record<string, unknown>[]): Notification[] {
  return found.map(({ token, since, tries, due }) => ({
    token: String(token),
    since: Number(since),
    tries: Number(tries),
    due: Number(due),
  }));
}
