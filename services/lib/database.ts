/**
 * Opens a service's SQLite file the one safe way: WAL, a known durability, a versioned schema, a busy limit.
 * Called by the stores of services/auth and services/metadata. https://www.sqlite.org/pragma.html
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/**
 * How long a statement waits for another process's lock, in milliseconds. Writers here hold it for the time
 * of one disk flush; a worn SD card may take a second or two for one.
 */
const busyLimitMs = 5_000;

/** The file cannot be used: damaged, or written by a newer version. */
export class DatabaseError extends Error {
  override name = "DatabaseError";
}

export type DatabaseOptions = Readonly<{
  /**
   * "full": a commit has reached the disk when it returns. "normal": a power cut may take the last commits
   * (never the file's integrity); spares an SD card a flush per commit.
   */
  durability: "full" | "normal";
  /** SQL that leads from version i to i + 1. Append only: devices carry every older version. */
  migrations: readonly string[];
}>;

/**
 * Opens `path`, making it (0600) when it is missing, and brings its schema up to date in one transaction.
 * @throws DatabaseError naming the file and the mend.
 */
export function openDatabase(path: string, options: DatabaseOptions): DatabaseSync {
  // SQLite would make the file world-readable; its -wal and -shm files take the mode of this one.
  closeSync(openSync(path, "a", 0o600));
  const database = new DatabaseSync(path, { timeout: busyLimitMs });
  try {
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (mode !== "wal") throw new DatabaseError(`${path}: SQLite cannot use WAL here, its mode is ${mode}`);
    database.exec(`PRAGMA synchronous = ${options.durability === "full" ? "FULL" : "NORMAL"}`);
    migrate(database, path, options.migrations);
    return database;
  } catch (cause) {
    database.close();
    if (cause instanceof DatabaseError) throw cause;
    throw new DatabaseError(
      `cannot use the database ${path} (${(cause as Error).message}): move it aside only if a backup exists`,
      { cause },
    );
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  // IMMEDIATE: of two processes that start together one migrates and the other then finds it done.
  database.exec("BEGIN IMMEDIATE");
  try {
    const version = Number(database.prepare("PRAGMA user_version").get()?.user_version);
    if (version > migrations.length) {
      throw new DatabaseError(
        `${path} has schema version ${version}, this program knows up to ${migrations.length}: ` +
          "it was written by a newer Homing; install that version again",
      );
    }
    for (const sql of migrations.slice(version)) database.exec(sql);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
    database.exec("COMMIT");
  } catch (cause) {
    // A failed COMMIT may have ended the transaction already.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw cause;
  }
}
