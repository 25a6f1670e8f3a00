/**
 * Push tokens and last logins, in SQLite. Called by dictionary.ts, service.ts and count.ts. Only days are kept, no
 * times: enough for forgetting what is old, and nobody's daily rhythm is on record.
 */
import { canaryRange } from "../../appliance/canary.ts";
import { openDatabase } from "../lib/database.ts";
import { type Device, type Devices, readTokens, type TokenReader } from "./devices.ts";
import type { Removal } from "./removals.ts";

const secondsPerDay = 86_400;

/** For the lock of another process, milliseconds: an operator with a shell may have it open. Mail waits meanwhile. */
const LOCK_WAIT_MS = 200;

/** Devices of one account. Whoever sets more loses the oldest: nobody fills the disk with tokens. */
const maxTokensPerAccount = 32;

/**
 * A day of login that is later than today's was noted by a clock that ran ahead, or today's by one that is behind. Kept is
 * the later one, or a clock that is behind would make an account look idle; unless it is so much later. Seconds.
 */
const mostAhead = 366 * secondsPerDay;

const migrations = [
  `CREATE TABLE device_tokens (
     address TEXT NOT NULL,
     token TEXT NOT NULL,
     -- GUID of the mailbox it was set on, in practice the INBOX.
     mailbox TEXT NOT NULL,
     -- Start of the UTC day, Unix seconds.
     day INTEGER NOT NULL,
     PRIMARY KEY (address, token)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE last_logins (
     address TEXT PRIMARY KEY NOT NULL,
     day INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
  // Whoever has a token that its proxy does not know any more is looked for by it.
  `CREATE INDEX device_tokens_by_token ON device_tokens (token)`,
  // Of logins before this day nothing can be known here: it was made, or made anew, on that day. Unix seconds.
  `CREATE TABLE logins_since (
     only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
     day INTEGER NOT NULL
   ) STRICT;
   INSERT INTO logins_since VALUES (1, unixepoch() / 86400 * 86400)`,
  // Whether the notification proxy took it when it was last asked.
  `ALTER TABLE device_tokens ADD COLUMN taken INTEGER NOT NULL DEFAULT 0`,
  // Tokens were looked through for expired ones last on this day, by a clock that a time server had set. Unix seconds.
  `CREATE TABLE tokens_looked_at (
     only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
     day INTEGER NOT NULL
   ) STRICT`,
] as const;

/** One change; a transaction of the dict protocol is a list of them. */
export type Change =
  | Readonly<{ kind: "add-token"; address: string; mailbox: string; token: string }>
  | Removal
  /** `time` in Unix seconds. */
  | Readonly<{ kind: "login"; address: string; time: number }>
  /** The account is gone: nothing may be left that the next one of that name would have. */
  | Readonly<{ kind: "forget-account"; address: string }>;

export type MetadataStore = TokenReader &
  Readonly<{
    devices: Devices;
    /** Whether the notification proxy took it when it was last asked. */
    wasTaken(token: string): boolean;
    noteTaken(token: string, isTaken: boolean): void;
    /**
     * Forgets the tokens that have expired at `now`, which a time server says. Of the days since the last such look only one
     * counts, for no phone could renew its token while the relay was off, and a clock may be put forward by mistake. Nothing
     * is forgotten at the first look: what came before was noted by any clock.
     */
    forgetExpired(now: number): void;
    /** When nobody is to be woken any more. */
    forgetAllTokens(): void;
    /** Tokens, and accounts of people that logged in within each of `days`, today included. */
    count(now: number, days: readonly number[]): Readonly<{ tokens: number; active: readonly number[] }>;
    /** The start of the day of the last login, Unix seconds. */
    lastLogin(address: string): number | undefined;
    /** The start of the day since when logins are noted here: the file may be younger than the accounts. Unix seconds. */
    loginsSince(): number;
    /** Makes all changes or none. @throws Error of SQLite */
    apply(changes: readonly Change[], now: number): void;
    /** What would make all that is here in another store. */
    all(): Change[];
    close(): void;
  }>;

export type MetadataFile = MetadataStore &
  Readonly<{
    /** Writes what stands there already. @throws Error of SQLite where nothing can be written */
    tryWriting(): void;
  }>;

export type StoreOptions = Readonly<{
  keepTokenDays: number;
  /** Of all accounts together. Beyond it an oldest one goes of the account that has most. Without it there is no bound. */
  maxTokens?: number;
}>;

/**
 * Opens or makes the database at `path`. A phone tells its token anew now and then; one not renewed for
 * `keepTokenDays` (forgetExpired) belongs to a lost phone and is forgotten. @throws DatabaseError
 */
export function openMetadataStore(path: string, { keepTokenDays, maxTokens }: StoreOptions): MetadataFile {
  // A power cut may cost the last changes: a phone then tells its token anew at its next start, and a day
  // of login is written again at the next login. That spares SD cards a flush per login.
  const database = openDatabase(path, { durability: "normal", migrations });
  database.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
  const columns = "address, mailbox, token";
  const findOf = database.prepare(
    `SELECT ${columns} FROM device_tokens WHERE address = ? ORDER BY day, token`,
  );
  const findWith = database.prepare(`SELECT ${columns} FROM device_tokens WHERE token = ?`);
  const addToken = database.prepare(
    `INSERT INTO device_tokens (address, mailbox, token, day) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET mailbox = excluded.mailbox, day = excluded.day`,
  );
  const dropSurplus = database.prepare(
    `DELETE FROM device_tokens WHERE address = :address AND token <> :token AND token NOT IN (
       SELECT token FROM device_tokens WHERE address = :address AND token <> :token
       ORDER BY day DESC, token LIMIT :others)`,
  );
  // Of all rows nothing is read but what stands before the tokens, which may be long.
  const findMost = database.prepare(
    "SELECT address FROM device_tokens GROUP BY address ORDER BY count(*) - (address = ?) DESC LIMIT 1",
  );
  const dropOldest = database.prepare(
    `DELETE FROM device_tokens WHERE (address, token) IN (
       SELECT address, token FROM device_tokens WHERE address = :most AND (address <> :address OR token <> :token)
       ORDER BY day, token LIMIT 1)`,
  );
  const forgetTokens = database.prepare("DELETE FROM device_tokens WHERE address = ? AND mailbox = ?");
  const forgetTokensOf = database.prepare("DELETE FROM device_tokens WHERE address = ?");
  const findTaken = database.prepare("SELECT taken FROM device_tokens WHERE token = ? LIMIT 1");
  // Writes only what changes.
  const setTaken = database.prepare(
    "UPDATE device_tokens SET taken = :taken WHERE token = :token AND taken <> :taken",
  );
  const forgetToken = database.prepare("DELETE FROM device_tokens WHERE token = ?");
  const forgetExpired = database.prepare("DELETE FROM device_tokens WHERE day <= ?");
  const findLooked = database.prepare("SELECT day FROM tokens_looked_at");
  const setLooked = database.prepare(
    "INSERT INTO tokens_looked_at VALUES (1, ?) ON CONFLICT DO UPDATE SET day = excluded.day",
  );
  const moveDays = database.prepare(
    `UPDATE device_tokens SET day = min(day + :pause, :today) WHERE day > :today OR :pause > 0`,
  );
  const listTokens = database.prepare(`SELECT ${columns} FROM device_tokens ORDER BY day, token`);
  const listLogins = database.prepare("SELECT address, day FROM last_logins");
  const countTokens = database.prepare("SELECT count(*) AS count FROM device_tokens");
  const countLogins = database.prepare(
    "SELECT count(*) AS count FROM last_logins WHERE day > ? AND NOT (address >= ? AND address < ?)",
  );
  const forgetLogin = database.prepare("DELETE FROM last_logins WHERE address = ?");
  const findLogin = database.prepare("SELECT day FROM last_logins WHERE address = ?");
  // A second login of the day writes nothing at all.
  const setLogin = database.prepare(
    `INSERT INTO last_logins (address, day) VALUES (?, ?)
     ON CONFLICT DO UPDATE SET day = excluded.day WHERE day < excluded.day OR day > excluded.day + ${mostAhead}`,
  );
  const findSince = database.prepare("SELECT day FROM logins_since");

  const lookedAt = (): number | undefined => {
    const row = findLooked.get();
    return row && Number(row.day);
  };
  const look = (today: number): void => {
    const last = lookedAt();
    const pause = last === undefined ? today : Math.max(0, today - last - secondsPerDay);
    moveDays.run({ pause, today });
    forgetExpired.run(today - keepTokenDays * secondsPerDay);
    setLooked.run(today);
  };

  const applyOne = (change: Change, now: number): void => {
    switch (change.kind) {
      case "add-token":
        // Whatever the clock says before a time server has set it, it is no earlier than that.
        addToken.run(change.address, change.mailbox, change.token, Math.max(dayOf(now), lookedAt() ?? 0));
        dropSurplus.run({ address: change.address, token: change.token, others: maxTokensPerAccount - 1 });
        if (maxTokens !== undefined && Number(countTokens.get()?.count) > maxTokens) {
          const most = String(findMost.get(change.address)!.address);
          dropOldest.run({ most, address: change.address, token: change.token });
        }
        return;
      case "forget-tokens":
        forgetTokens.run(change.address, change.mailbox);
        return;
      case "forget-token":
        forgetToken.run(change.token);
        return;
      case "login":
        setLogin.run(change.address, dayOf(change.time));
        return;
      case "forget-account":
        forgetTokensOf.run(change.address);
        forgetLogin.run(change.address);
    }
  };

  const transact = (work: () => void): void => {
    database.exec("BEGIN IMMEDIATE");
    try {
      work();
      database.exec("COMMIT");
    } catch (cause) {
      // A full disk may have ended the transaction already.
      if (database.isTransaction) database.exec("ROLLBACK");
      throw cause;
    }
  };

  const devices: Devices = {
    of: (address) => findOf.all(address).map(deviceOf),
    with: (token) => findWith.all(token).map(deviceOf),
  };
  return {
    devices,
    ...readTokens(devices),
    lastLogin(address) {
      const row = findLogin.get(address);
      return row === undefined ? undefined : Number(row.day);
    },
    loginsSince: () => Number(findSince.get()!.day),
    wasTaken: (token) => findTaken.get(token)?.taken === 1,
    noteTaken: (token, isTaken) => void setTaken.run({ token, taken: isTaken ? 1 : 0 }),
    forgetExpired(now) {
      // Once a day there is something to write.
      if (lookedAt() !== dayOf(now)) transact(() => look(dayOf(now)));
    },
    forgetAllTokens: () => database.exec("DELETE FROM device_tokens"),
    count: (now, days) => ({
      tokens: Number(countTokens.get()?.count),
      active: days.map((each) => {
        const { from, to } = canaryRange;
        return Number(countLogins.get(dayOf(now) - each * secondsPerDay, from, to)?.count);
      }),
    }),
    apply(changes, now) {
      if (changes.length === 0) return;
      // On the disk before the name is free for somebody else: the account list is synced with each change. One flush of
      // the log, of what stands in it from before too; a checkpoint would wait for readers and write all its pages.
      const isForGood = changes.some(({ kind }) => kind === "forget-account");
      if (isForGood) database.exec("PRAGMA synchronous = FULL");
      try {
        transact(() => {
          for (const change of changes) applyOne(change, now);
        });
      } finally {
        if (isForGood) database.exec("PRAGMA synchronous = NORMAL");
      }
    },
    all: () => [
      ...listTokens.all().map((row) => ({ kind: "add-token" as const, ...deviceOf(row) })),
      ...listLogins.all().map(({ address, day }) => ({
        kind: "login" as const,
        ...{ address: String(address), time: Number(day) },
      })),
    ],
    // SQLite writes the page of the version in any case; that of a row only if it becomes another.
    tryWriting: () => database.exec(`PRAGMA user_version = ${migrations.length}`),
    close: () => database.close(),
  };
}

function deviceOf({ address, mailbox, token }: Record<string, unknown>): Device {
  return { address: String(address), mailbox: String(mailbox), token: String(token) };
}

function dayOf(time: number): number {
  return Math.floor(time / secondsPerDay) * secondsPerDay;
}
