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
  `-- Accounts made by invitation that nobody has logged in to. If the answer that told of one was lost, its use of the
   -- invitation is not (lost-answer.ts).
   CREATE TABLE unused_accounts (
     address TEXT PRIMARY KEY NOT NULL REFERENCES accounts (address) ON DELETE CASCADE,
     token_hash BLOB NOT NULL,
     -- HMAC-SHA-256 of the asker's network under the token: it can be compared by whoever brings the token, and
     -- nobody reads an address out of it.
     asker BLOB NOT NULL,
     -- When its password was told last, Unix seconds.
     told INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX unused_accounts_by_token ON unused_accounts (token_hash)`,
  // NULL: an ordinary one (appliance/account-states.ts).
  `ALTER TABLE accounts ADD COLUMN state TEXT CHECK (state IN ('blocked', 'leaving'))`,
  // Start of the UTC day on which it was unblocked last, Unix seconds; NULL: never. Until then nobody could log in.
  `ALTER TABLE accounts ADD COLUMN unblocked_day INTEGER`,
] as const;
