/**
 * Tokens that are to be removed from a store that takes no changes now, in SQLite in memory (/run), beside the spare that
 * takes what is set meanwhile. Called by store-with-spare.ts.
 */
import { openDatabase } from "../lib/database.ts";
import type { Device } from "./devices.ts";

/** With tokens as long as may be 10 MB. Only what the store has is noted, unless it cannot be read. */
const MAX_TOKENS = 1000;
/** 2 MB: as many as there may well be accounts on one relay. Apart from the tokens, which anybody can invent. */
const MAX_MAILBOXES = 10_000;
/** An account sets tokens on its INBOX. Whoever makes folders and deletes them leaves room for the others. */
const MAX_MAILBOXES_OF_ACCOUNT = 8;

/** All tokens of a mailbox, or one token whoever has it. */
export type Removal =
  | Readonly<{ kind: "forget-tokens"; address: string; mailbox: string }>
  | Readonly<{ kind: "forget-token"; token: string }>;

const migrations = [
  `CREATE TABLE mailboxes (
     address TEXT NOT NULL,
     mailbox TEXT NOT NULL,
     PRIMARY KEY (address, mailbox)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE tokens (token TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID`,
] as const;

export type Removals = Readonly<{
  /** False when it is not noted, for there is no room for more. @throws Error of SQLite */
  add(removal: Removal): boolean;
  has(device: Device): boolean;
  all(): Removal[];
  close(): void;
}>;

/** Opens or makes the file at `path`. @throws DatabaseError */
export function openRemovals(path: string): Removals {
  const database = openDatabase(path, { durability: "normal", migrations });
  const addMailbox = database.prepare("INSERT INTO mailboxes VALUES (?, ?)");
  const addToken = database.prepare("INSERT INTO tokens VALUES (?)");
  const find = database.prepare(
    `SELECT 1 FROM mailboxes WHERE address = :address AND mailbox = :mailbox
     UNION ALL SELECT 1 FROM tokens WHERE token = :token LIMIT 1`,
  );
  const listMailboxes = database.prepare("SELECT address, mailbox FROM mailboxes");
  const listTokens = database.prepare("SELECT token FROM tokens");
  const findMailbox = database.prepare("SELECT 1 FROM mailboxes WHERE address = ? AND mailbox = ?");
  const findToken = database.prepare("SELECT 1 FROM tokens WHERE token = ?");
  const countTokens = database.prepare("SELECT count(*) AS count FROM tokens");
  const countMailboxes = database.prepare(
    `SELECT (SELECT count(*) FROM mailboxes) AS count,
       (SELECT count(*) FROM mailboxes WHERE address = ?) AS ofAccount`,
  );
  const addNew = (removal: Removal): boolean => {
    if (removal.kind === "forget-token") {
      if (Number(countTokens.get()?.count) >= MAX_TOKENS) return false;
      addToken.run(removal.token);
      return true;
    }
    const { count, ofAccount } = countMailboxes.get(removal.address)!;
    if (Number(count) >= MAX_MAILBOXES || Number(ofAccount) >= MAX_MAILBOXES_OF_ACCOUNT) return false;
    addMailbox.run(removal.address, removal.mailbox);
    return true;
  };
  return {
    add(removal) {
      const isNoted =
        removal.kind === "forget-token"
          ? findToken.get(removal.token)
          : findMailbox.get(removal.address, removal.mailbox);
      return isNoted !== undefined || addNew(removal);
    },
    has: ({ address, mailbox, token }) => find.get({ address, mailbox, token }) !== undefined,
    all: () => [
      ...listMailboxes.all().map(({ address, mailbox }) => ({
        kind: "forget-tokens" as const,
        ...{ address: String(address), mailbox: String(mailbox) },
      })),
      ...listTokens.all().map(({ token }) => ({ kind: "forget-token" as const, token: String(token) })),
    ],
    close: () => database.close(),
  };
}
