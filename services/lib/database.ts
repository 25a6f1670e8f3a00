/**
 * Opens a service's SQLite file the one safe way: WAL, a known durability, a versioned schema, a busy limit.
 * Called by the stores of services/auth and services/metadata. https://www.sqlite.org/pragma.html
 */
import { closeSync, existsSync, fsyncSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * How long a statement waits for another process's lock, in milliseconds. Writers here hold it for the time
 * of one disk flush; a worn SD card may take a second or two for one.
 */
const busyLimitMs = 5_000;

/** The file cannot be used: lost, damaged, or written by a newer version. */
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
  /**
   * The content can never be made again: a file beside it witnesses that it was made once (witnessPath), and
   * with the witness there a missing or emptied file is an error, never a reason to begin anew.
   */
  irreplaceable?: boolean;
}>;

/** The witness of an irreplaceable database. Whoever wants to begin anew removes it. */
export function witnessPath(path: string): string {
  return `${path}.made`;
}

/**
 * Opens `path`, making it (0600) when it is missing, and brings its schema up to date in one transaction.
 * Writes nothing when it is up to date.
 * @throws DatabaseError naming the file and the mend.
 */
export function openDatabase(path: string, options: DatabaseOptions): DatabaseSync {
  const made = options.irreplaceable === true && existsSync(witnessPath(path));
  if (made && !existsSync(path)) throw lost(path, "is missing");
  // SQLite would make the file world-readable; its -wal and -shm files take the mode of this one.
  closeSync(openSync(path, "a", 0o600));
  const database = new DatabaseSync(path, { timeout: busyLimitMs });
  try {
    if (made && schemaVersion(database) === 0) throw lost(path, "is empty");
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (mode !== "wal") throw new DatabaseError(`${path}: SQLite cannot use WAL here, its mode is ${mode}`);
    database.exec(`PRAGMA synchronous = ${options.durability === "full" ? "FULL" : "NORMAL"}`);
    migrate(database, path, options.migrations);
    if (options.irreplaceable && !made) witness(database, path);
    return database;
  } catch (cause) {
    database.close();
    throw unusable(path, cause);
  }
}

/**
 * Opens `path` for reading where it cannot be opened otherwise because the disk is full: SQLite's shared
 * memory file needs room, except for one connection that keeps all others out.
 * https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
 * @throws DatabaseError, also when the schema is not of this version.
 */
export function openDatabaseAlone(path: string, migrations: readonly string[]): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: busyLimitMs });
  try {
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA query_only = ON");
    if (schemaVersion(database) !== migrations.length)
      throw new DatabaseError(`${path}: there is no room to bring its schema up to date`);
    return database;
  } catch (cause) {
    database.close();
    throw unusable(path, cause);
  }
}

function lost(path: string, state: string): DatabaseError {
  return new DatabaseError(
    `${path} ${state}, though it was made before (${witnessPath(path)} says so): restore it from a backup, ` +
      "or remove that witness to begin with nothing",
  );
}

function unusable(path: string, cause: unknown): DatabaseError {
  if (cause instanceof DatabaseError) return cause;
  return new DatabaseError(
    `cannot use the database ${path} (${(cause as Error).message}): move it aside only if a backup exists`,
    { cause },
  );
}

function schemaVersion(database: DatabaseSync): number {
  return Number(database.prepare("PRAGMA user_version").get()?.user_version);
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  if (schemaVersion(database) === migrations.length) return;
  // IMMEDIATE: of two processes that start together one migrates and the other then finds it done.
  database.exec("BEGIN IMMEDIATE");
  try {
    const version = schemaVersion(database);
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

/** Only once the schema stands in the file itself: a lost -wal file must not look like one never made. */
function witness(database: DatabaseSync, path: string): void {
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const file = openSync(witnessPath(path), "w", 0o600);
  try {
    writeSync(
      file,
      `Witness that the database beside it was made. While this file is there, a missing or empty database counts
as lost and is never replaced by a new one: restore it from a backup, or remove this file to begin anew.
`,
    );
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
