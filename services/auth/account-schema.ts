/**
 * The tables of the account list, as steps from each version to the next (lib/database.ts). Used by store.ts and
 * by the thread that writes (store-writer.ts).
 */

/** Append only: devices carry every older version. */
export const accountMigrations = [
  `CREATE TABLE accounts (
     address TEXT PRIMARY KEY NOT NULL,
     password TEXT NOT NULL,
     -- Start of the UTC day of creation, Unix seconds: the exact time would tell more than anybody needs.
     created_day INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE invites (
     -- Never given twice: what was revoked stays revoked.
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     -- SHA-256 of the token. Whoever reads the list or a backup of it can invite nobody.
     token_hash BLOB NOT NULL UNIQUE,
     uses INTEGER NOT NULL,
     uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
     -- Unix seconds; NULL: never.
     expires INTEGER,
     note TEXT NOT NULL,
     -- Unix seconds.
     created INTEGER NOT NULL
   ) STRICT;
   -- What the operator chose on the device; it holds while relay.toml says what it said then.
   CREATE TABLE sign_up_choice (
     only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
     mode TEXT NOT NULL,
     settings_mode TEXT NOT NULL
   ) STRICT`,
] as const;
