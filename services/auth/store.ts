/**
 * The list of accounts: address and password hash, in SQLite. It is the one thing a backup must hold, for
 * without it the next stranger who logs in with a name owns that name. Called by accounts.ts.
 */
import { openDatabase } from "../lib/database.ts";

const secondsPerDay = 86_400;

const migrations = [
  `CREATE TABLE accounts (
     address TEXT PRIMARY KEY NOT NULL,
     password TEXT NOT NULL,
     -- Start of the UTC day of creation, Unix seconds: the exact time would tell more than anybody needs.
     created_day INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
] as const;

export type AccountStore = Readonly<{
  /** The stored password hash of a normalised address, or undefined when there is no such account. */
  findPassword(address: string): string | undefined;
  /**
   * Adds an account; false when the address is taken (whoever took it first keeps it). When it returns
   * true, the account is on disk. `now` in Unix seconds.
   * @throws Error of SQLite when the disk is full, failing or locked too long.
   */
  create(address: string, passwordHash: string, now: number): boolean;
  count(): number;
  close(): void;
}>;

/** Opens or makes the account list at `path`. @throws DatabaseError */
export function openAccountStore(path: string): AccountStore {
  const database = openDatabase(path, { durability: "full", migrations });
  const find = database.prepare("SELECT password FROM accounts WHERE address = ?");
  const insert = database.prepare(
    "INSERT INTO accounts (address, password, created_day) VALUES (?, ?, ?) ON CONFLICT (address) DO NOTHING",
  );
  const countAll = database.prepare("SELECT count(*) AS count FROM accounts");
  return {
    findPassword(address) {
      const row = find.get(address);
      return row === undefined ? undefined : String(row.password);
    },
    create(address, passwordHash, now) {
      const day = Math.floor(now / secondsPerDay) * secondsPerDay;
      return insert.run(address, passwordHash, day).changes === 1;
    },
    count: () => Number(countAll.get()?.count),
    close: () => database.close(),
  };
}
