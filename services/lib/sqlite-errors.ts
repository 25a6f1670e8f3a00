/**
 * Kinds of SQLite failures (https://www.sqlite.org/rescode.html) that the account list and the store of metadata answer
 * in different ways. Pure; called by services/auth and services/metadata.
 */

/** By primary or extended result code. */
export const sqliteErrors = {
  /** SQLITE_CORRUPT, SQLITE_NOTADB. */
  damage: [11, 26],
  /** SQLITE_FULL, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE: the last two are how a full disk shows at opening. */
  noRoom: [13, 4874, 778],
  /** SQLITE_BUSY, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN: the file or its disk, not the statement. */
  disk: [5, 8, 10, 13, 14],
} as const;

/** Whether `error` came from SQLite with one of these codes. */
export function isOneOf(error: unknown, codes: readonly number[]): boolean {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return false;
  // The primary code is the low byte of an extended one.
  return codes.includes(error.errcode) || codes.includes(error.errcode & 0xff);
}
