/**
 * The thread that writes the list of accounts: every message is a batch, written in one transaction, so that one
 * flush of a slow card serves all who wait. It is answered only after the commit reached the disk. Started by
 * writer-thread.ts, which is the only one to speak to it.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { AccountState } from "../../appliance/account-states.ts";
import { openDatabase } from "../lib/database.ts";
import { accountMigrations } from "./account-schema.ts";
import { findUnusedSql } from "./lost-answer.ts";

export type WriterRequest = Readonly<{ path: string }>;

/** Hash of an invitation's token, who brings it (lost-answer.ts), and Unix seconds now. */
export type InviteUse = Readonly<{ tokenHash: Uint8Array; asker: Uint8Array; now: number }>;

/** `password` is its hash. */
export type ListChange =
  | Readonly<{
      kind: "add";
      address: string;
      password: string;
      /** Unix seconds. */
      createdDay: number;
      /**
       * The account is made only if this invitation has a use left, and takes it; or one that it made, and that nobody
       * uses, gets this password.
       */
      invite?: InviteUse;
    }>
  /** Somebody logged in to an account that was made by invitation. `stored` is the hash of the password. */
  | Readonly<{ kind: "used"; address: string; stored: string }>
  /** Of the password that is stored now. */
  | Readonly<{ kind: "rehash"; address: string; password: string; stored: string }>
  | Readonly<{
      kind: "add-invite";
      tokenHash: Uint8Array;
      uses: number;
      /** Unix seconds; null: never. */
      expires: number | null;
      note: string;
      /** Unix seconds. */
      created: number;
      /** Invitations there may be; those that nobody can use any more make room. */
      limit: number;
    }>
  | Readonly<{ kind: "revoke-invite"; id: number }>
  | Readonly<{ kind: "choose-mode"; mode: string; settingsMode: string }>
  | Readonly<{ kind: "forget-mode" }>
  /** One that is leaving stays so. `day`: today, in Unix seconds. */
  | Readonly<{ kind: "set-state"; address: string; state: AccountState; day: number }>
  /** Takes the row of an account that is leaving away. */
  | Readonly<{ kind: "forget"; address: string }>;

export type ListOutcome = Readonly<{
  made: boolean;
  /** The account was not made for want of its invitation, not because the name is taken. */
  noInvite?: boolean;
  /** Of the invitation that was made. */
  id?: number;
  /** The account that was given instead of a new one. */
  address?: string;
}>;

/** In the order of the batch: whether each change was made, or why none was. */
export type WriterReply = Readonly<{ outcomes: readonly ListOutcome[] } | { error: string }>;

const port = parentPort;
if (port === null) throw new Error("store-writer.ts runs as a worker thread only");
const { path } = workerData as WriterRequest;
const database = openDatabase(path, {
  durability: "full",
  migrations: accountMigrations,
  irreplaceable: true,
});
// Whoever was first keeps the name: within a batch, between batches and between processes.
const insert = database.prepare(
  "INSERT INTO accounts (address, password, created_day) VALUES (?, ?, ?) ON CONFLICT (address) DO NOTHING",
);
const rehash = database.prepare("UPDATE accounts SET password = ? WHERE address = ? AND password = ?");
const takeUse = database.prepare(
  `UPDATE invites SET uses_left = uses_left - 1
   WHERE token_hash = ? AND uses_left > 0 AND (expires IS NULL OR expires > ?)`,
);
const giveUseBack = database.prepare("UPDATE invites SET uses_left = uses_left + 1 WHERE token_hash = ?");
const noteUnused = database.prepare(
  "INSERT INTO unused_accounts (address, token_hash, asker, told) VALUES (?, ?, ?, ?)",
);
const findUnused = database.prepare(findUnusedSql);
const replacePassword = database.prepare("UPDATE accounts SET password = ? WHERE address = ?");
const tellAgain = database.prepare("UPDATE unused_accounts SET asker = ?, told = ? WHERE address = ?");
const noteUsed = database.prepare(
  `DELETE FROM unused_accounts
   WHERE address = ?1 AND EXISTS (SELECT 1 FROM accounts WHERE address = ?1 AND password = ?2)`,
);
/** Those whose invitation is gone stay as they are: nobody can ask for them. */
const forgetUnused = database.prepare(
  "DELETE FROM unused_accounts WHERE token_hash NOT IN (SELECT token_hash FROM invites)",
);
const countInvites = database.prepare("SELECT count(*) AS count FROM invites");
const dropSpentInvites = database.prepare("DELETE FROM invites WHERE uses_left = 0 OR expires <= ?");
const insertInvite = database.prepare(
  "INSERT INTO invites (token_hash, uses, uses_left, expires, note, created) VALUES (?, ?, ?, ?, ?, ?)",
);
const deleteInvite = database.prepare("DELETE FROM invites WHERE id = ?");
const chooseMode = database.prepare(
  `INSERT INTO sign_up_choice (only_one, mode, settings_mode) VALUES (1, ?, ?)
   ON CONFLICT (only_one) DO UPDATE SET mode = excluded.mode, settings_mode = excluded.settings_mode`,
);
const setState = database.prepare(
  `UPDATE accounts SET
     state = nullif(?1, 'active'),
     unblocked_day = CASE WHEN state = 'blocked' AND ?1 = 'active' THEN ?3 ELSE unblocked_day END
   WHERE address = ?2 AND (state IS NOT 'leaving' OR ?1 = 'leaving')`,
);
const forget = database.prepare("DELETE FROM accounts WHERE address = ? AND state = 'leaving'");
const forgetMode = database.prepare("DELETE FROM sign_up_choice");

port.on("message", (message: readonly ListChange[] | "close") => {
  if (message === "close") {
    database.close();
    port.close();
    return;
  }
  port.postMessage(write(message));
});

function write(batch: readonly ListChange[]): WriterReply {
  try {
    database.exec("BEGIN IMMEDIATE");
    const outcomes = batch.map(make);
    database.exec("COMMIT");
    return { outcomes };
  } catch (cause) {
    // SQLite may have ended the transaction itself.
    if (database.isTransaction) database.exec("ROLLBACK");
    return { error: (cause as Error).message };
  }
}

function make(change: ListChange): ListOutcome {
  switch (change.kind) {
    case "add":
      return addAccount(change);
    case "rehash":
      return { made: rehash.run(change.password, change.address, change.stored).changes === 1 };
    case "add-invite":
      return addInvite(change);
    case "used":
      return { made: noteUsed.run(change.address, change.stored).changes === 1 };
    case "revoke-invite": {
      const made = deleteInvite.run(change.id).changes === 1;
      if (made) forgetUnused.run();
      return { made };
    }
    case "choose-mode":
      return { made: chooseMode.run(change.mode, change.settingsMode).changes === 1 };
    case "forget-mode":
      return { made: forgetMode.run().changes === 1 };
    case "set-state":
      return { made: setState.run(change.state, change.address, change.day).changes === 1 };
    case "forget":
      return { made: forget.run(change.address).changes === 1 };
  }
}

function addAccount(change: ListChange & { kind: "add" }): ListOutcome {
  const { invite } = change;
  if (invite !== undefined && takeUse.run(invite.tokenHash, invite.now).changes !== 1)
    return giveUnused(change.password, invite);
  const made = insert.run(change.address, change.password, change.createdDay).changes === 1;
  if (invite !== undefined) {
    if (made) noteUnused.run(change.address, invite.tokenHash, invite.asker, invite.now);
    else giveUseBack.run(invite.tokenHash);
  }
  return { made };
}

function giveUnused(password: string, { tokenHash, asker, now }: InviteUse): ListOutcome {
  const address = findUnused.get(tokenHash, now, asker)?.address;
  if (typeof address !== "string") return { made: false, noInvite: true };
  replacePassword.run(password, address);
  tellAgain.run(asker, now, address);
  return { made: true, address };
}

function addInvite(change: ListChange & { kind: "add-invite" }): ListOutcome {
  const { tokenHash, uses, expires, note, created, limit } = change;
  const isFull = (): boolean => Number(countInvites.get()?.count) >= limit;
  if (isFull()) {
    dropSpentInvites.run(created);
    forgetUnused.run();
  }
  if (isFull()) return { made: false };
  const { lastInsertRowid } = insertInvite.run(tokenHash, uses, uses, expires, note, created);
  return { made: true, id: Number(lastInsertRowid) };
}
