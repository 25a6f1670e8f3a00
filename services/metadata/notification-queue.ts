/**
 * Tokens that are to be handed over to the notification proxy, in SQLite: one row a token, however many messages came,
 * and nothing of the account. Called by notification-shelf.ts, which has two: one in memory for first attempts, which spares
 * a card the writing, and one on the disk for what did not succeed at once.
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
  /**
   * Of those that are due, the lower go first. 0: the proxy took the token when it was last asked. Of an account's others
   * one has 1, one 2 and so on up to LAST_TURN: nobody comes before others by having many.
   */
  turn: number;
}>;

/** More tokens than this few people have that no proxy took yet; the rest of them share this turn. */
export const LAST_TURN = 8;

type Tokens = Readonly<{ has(token: string): boolean; size: number }>;

const migrations = [
  `CREATE TABLE notifications (
     token TEXT PRIMARY KEY NOT NULL,
     since REAL NOT NULL,
     tries INTEGER NOT NULL,
     due REAL NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX notifications_by_due ON notifications (due)`,
  // What waited before there were turns came from anybody.
  `ALTER TABLE notifications ADD COLUMN turn INTEGER NOT NULL DEFAULT 1;
   DROP INDEX notifications_by_due;
   CREATE INDEX notifications_by_turn ON notifications (turn, due)`,
] as const;

const columns = "token, since, tries, due, turn";

export type NotificationQueue = Readonly<{
  /** They take the place of what is there for their tokens; all do or none. @throws Error of SQLite */
  put(notifications: readonly Notification[]): void;
  find(token: string): Notification | undefined;
  remove(token: string): void;
  /** Of each turn the one that is due first, among those whose token is none of `except`; in the order of turns. */
  firsts(except: Tokens): Notification[];
  /** All; for moving them. */
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
    `INSERT INTO notifications (${columns}) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET since = excluded.since, tries = excluded.tries, due = excluded.due,
       turn = excluded.turn`,
  );
  const find = database.prepare(`SELECT ${columns} FROM notifications WHERE token = ?`);
  const remove = database.prepare("DELETE FROM notifications WHERE token = ?");
  const list = database.prepare(`SELECT ${columns} FROM notifications`);
  const listTurn = database.prepare(
    `SELECT ${columns} FROM notifications WHERE turn = ? ORDER BY due LIMIT ?`,
  );
  const findNext = database.prepare("SELECT turn FROM notifications WHERE turn > ? ORDER BY turn LIMIT 1");
  const count = database.prepare("SELECT count(*) AS count FROM notifications");
  const next = (turn: number): number | undefined => {
    const row = findNext.get(turn);
    return row && Number(row.turn);
  };
  const firstOf = (turn: number, except: Tokens): Notification | undefined =>
    // No more than those can stand in front of it.
    rows(listTurn.all(turn, except.size + 1)).find(({ token }) => !except.has(token));
  return {
    put(notifications) {
      if (notifications.length === 0) return;
      database.exec("BEGIN IMMEDIATE");
      try {
        for (const { token, since, tries, due, turn } of notifications)
          put.run(token, since, tries, due, turn);
        database.exec("COMMIT");
      } catch (cause) {
        // A full disk may have ended the transaction already.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw cause;
      }
    },
    find: (token) => rows(find.all(token))[0],
    remove: (token) => void remove.run(token),
    firsts(except) {
      const found: Notification[] = [];
      // Mostly there is no turn at all, or one.
      for (let turn = next(-1); turn !== undefined; turn = next(turn)) {
        const first = firstOf(turn, except);
        if (first !== undefined) found.push(first);
      }
      return found;
    },
    all: () => rows(list.all()),
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
  return found.map(({ token, since, tries, due, turn }) => ({
    token: String(token),
    since: Number(since),
    tries: Number(tries),
    due: Number(due),
    turn: Number(turn),
  }));
}
