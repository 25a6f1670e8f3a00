/**
 * Push tokens and last logins, in SQLite. Called by dictionary.ts, service.ts and count.ts. Only days are kept, no
 * times: enough for forgetting what is old, and nobody's daily rhythm is on record.
 */
import { canaryRange } from "../../appliance/canary.ts";
import { openDatabase } from "../lib/database.ts";

const secondsPerDay = 86_400;

/** For the lock of another process, milliseconds: homing-ctl reads days, nobody else writes. Mail waits meanwhile. */
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
] as const;

/** One change; a transaction of the dict protocol is a list of them. */
export type Change =
  | Readonly<{ kind: "add-token"; address: string; mailbox: string; token: string }>
  | Readonly<{ kind: "forget-tokens"; address: string; mailbox: string }>
  /** `time` in Unix seconds. */
  | Readonly<{ kind: "login"; address: string; time: number }>
  /** The account is gone: nothing may be left that the next one of that name would have. */
  | Readonly<{ kind: "forget-account"; address: string }>;

export type MetadataStore = Readonly<{
  /** The tokens set on a mailbox that have not expired at `now` (Unix seconds), oldest first. */
  tokens(address: string, mailbox: string, now: number): string[];
  /** Those of all its mailboxes: where a new message is told. */
  tokensOf(address: string, now: number): string[];
  /** Whether some device has the token, and renewed it in time. */
  hasToken(token: string, now: number): boolean;
  /** The account of a device that has the token. */
  accountOf(token: string): string | undefined;
  /** It belongs to no device any more, whoever had it. */
  forgetToken(token: string): void;
  /** Forgets the tokens that have expired. */
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

/**
 * Opens or makes the database at `path`. A phone tells its token anew now and then; one not renewed for
 * `keepTokenDays` belongs to a lost phone and is forgotten. @throws DatabaseError
 */
export function openMetadataStore(
  path: string,
  { keepTokenDays }: Readonly<{ keepTokenDays: number }>,
): MetadataStore {
  // A power cut may cost the last changes: a phone then tells its token anew at its next start, and a day
  // of login is written again at the next login. That spares SD cards a flush per login.
  const database = openDatabase(path, { durability: "normal", migrations });
  database.exec(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
  const findTokens = database.prepare(
    "SELECT token FROM device_tokens WHERE address = ? AND mailbox = ? AND day > ? ORDER BY day, token",
  );
  const addToken = database.prepare(
    `INSERT INTO device_tokens (address, mailbox, token, day) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET mailbox = excluded.mailbox, day = excluded.day`,
  );
  const dropSurplus = database.prepare(
    `DELETE FROM device_tokens WHERE address = :address AND token <> :token AND token NOT IN (
       SELECT token FROM device_tokens WHERE address = :address AND token <> :token
       ORDER BY day DESC, token LIMIT :others)`,
  );
  const dropExpired = database.prepare("DELETE FROM device_tokens WHERE address = ? AND day <= ?");
  const forgetTokens = database.prepare("DELETE FROM device_tokens WHERE address = ? AND mailbox = ?");
  const forgetTokensOf = database.prepare("DELETE FROM device_tokens WHERE address = ?");
  const findTokensOf = database.prepare(
    "SELECT DISTINCT token FROM device_tokens WHERE address = ? AND day > ? ORDER BY token",
  );
  const findToken = database.prepare("SELECT 1 FROM device_tokens WHERE token = ? AND day > ? LIMIT 1");
  const findAccount = database.prepare("SELECT address FROM device_tokens WHERE token = ? LIMIT 1");
  const forgetToken = database.prepare("DELETE FROM device_tokens WHERE token = ?");
  const forgetExpired = database.prepare("DELETE FROM device_tokens WHERE day <= ?");
  const listTokens = database.prepare(
    "SELECT address, mailbox, token FROM device_tokens ORDER BY day, token",
  );
  const listLogins = database.prepare("SELECT address, day FROM last_logins");
  const countTokens = database.prepare("SELECT count(*) AS count FROM device_tokens WHERE day > ?");
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

  const expiredUntil = (now: number): number => dayOf(now) - keepTokenDays * secondsPerDay;

  const applyOne = (change: Change, now: number): void => {
    switch (change.kind) {
      case "add-token":
        addToken.run(change.address, change.mailbox, change.token, dayOf(now));
        dropExpired.run(change.address, expiredUntil(now));
        dropSurplus.run({ address: change.address, token: change.token, others: maxTokensPerAccount - 1 });
        return;
      case "forget-tokens":
        forgetTokens.run(change.address, change.mailbox);
        return;
      case "login":
        setLogin.run(change.address, dayOf(change.time));
        return;
      case "forget-account":
        forgetTokensOf.run(change.address);
        forgetLogin.run(change.address);
    }
  };

  const transact = (changes: readonly Change[], now: number): void => {
    database.exec("BEGIN IMMEDIATE");
    try {
      for (const change of changes) applyOne(change, now);
      database.exec("COMMIT");
    } catch (cause) {
      // A full disk may have ended the transaction already.
      if (database.isTransaction) database.exec("ROLLBACK");
      throw cause;
    }
  };

  return {
    tokens: (address, mailbox, now) =>
      findTokens.all(address, mailbox, expiredUntil(now)).map(({ token }) => String(token)),
    lastLogin(address) {
      const row = findLogin.get(address);
      return row === undefined ? undefined : Number(row.day);
    },
    loginsSince: () => Number(findSince.get()!.day),
    tokensOf: (address, now) =>
      findTokensOf.all(address, expiredUntil(now)).map(({ token }) => String(token)),
    hasToken: (token, now) => findToken.get(token, expiredUntil(now)) !== undefined,
    accountOf(token) {
      const row = findAccount.get(token);
      return row && String(row.address);
    },
    forgetToken: (token) => void forgetToken.run(token),
    forgetExpired: (now) => void forgetExpired.run(expiredUntil(now)),
    forgetAllTokens: () => database.exec("DELETE FROM device_tokens"),
    count: (now, days) => ({
      tokens: Number(countTokens.get(expiredUntil(now))?.count),
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
        transact(changes, now);
      } finally {
        if (isForGood) database.exec("PRAGMA synchronous = NORMAL");
      }
    },
    all: () => [
      ...listTokens.all().map(({ address, mailbox, token }) => ({
        kind: "add-token" as const,
        ...{ address: String(address), mailbox: String(mailbox), token: String(token) },
      })),
      ...listLogins.all().map(({ address, day }) => ({
        kind: "login" as const,
        ...{ address: String(address), time: Number(day) },
      })),
    ],
    close: () => database.close(),
  };
}

function dayOf(time: number): number {
  return Math.floor(time / secondsPerDay) * secondsPerDay;
}
