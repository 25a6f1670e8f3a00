/**
 * The mailboxes on the disk as Dovecot's maildir driver lays them out (appliance/files/dovecot.ts): a folder for each
 * account, in it `mail` with the INBOX and `mail/.NAME` for each other mailbox, in each of them `cur`, `new` and `tmp`.
 * What a message is stands in its name, so that no file is looked at. Called by expiry.ts and disk-room.ts.
 * https://doc.dovecot.org/2.4.1/core/config/mailbox_formats/maildir.html
 */
import { readdirSync, rmSync, unlinkSync } from "node:fs";

/** One file in `cur` or `new`, or an unfinished one in `tmp`. */
export type StoredMessage = Readonly<{
  path: string;
  /** When it was stored, by the relay's clock of then, in Unix seconds. What a client says (INTERNALDATE) is not in the name. */
  stamp: number;
  /** In bytes, as it was sent and the quota counts it; on the disk it is compressed. 0 when the name does not tell. */
  size: number;
  isUnfinished: boolean;
}>;

export type Mailboxes = Readonly<{
  /** Addresses that have a folder. */
  addresses(): string[];
  /** All messages of an account, in no order. */
  messages(address: string): StoredMessage[];
  /** Deletes the file. False when it is not there any more: fetched and deleted, or renamed by a change of its flags. */
  remove(message: StoredMessage): boolean;
  /** Deletes all that is kept of an account here: mail, indexes, UID lists. */
  removeAccount(address: string): void;
  /** Whether anything of it is there. */
  has(address: string): boolean;
}>;

/**
 * `TIME.UNIQUE.HOST,S=SIZE,W=SIZE:2,FLAGS`; ten digits reach until the year 2286. W counts each end of a line as CRLF, as
 * Dovecot's quota does (driver `count`); S as in the file, where it is LF: one or two per cent less.
 */
const messageName = /^(\d{9,10})\.[^,:]+(?:,S=(\d{1,12}))?(?:,W=(\d{1,12}))?/;

/** What the account service takes for an address (services/auth/rules.ts), as far as it matters for a path. */
const addressName = /^[a-z0-9_-][a-z0-9._-]*@[a-z0-9._-]+$/;

/**
 * Everything is done by calls that wait: this program does nothing else, and a promise for each of a million files would
 * cost more than the file.
 * @param mail `/data/mail`; `index` `/data/mail/index`
 */
export function openMailboxes(mail: string, index: string): Mailboxes {
  const removeFolder = (path: string) => rmSync(path, { recursive: true, force: true });
  return {
    addresses: () => namesIn(mail).filter((name) => addressName.test(name)),
    messages(address) {
      const root = `${mail}/${address}/mail`;
      const found: StoredMessage[] = [];
      for (const name of namesIn(root)) {
        if (name === "cur" || name === "new" || name === "tmp")
          collect(`${root}/${name}`, name === "tmp", found);
        else if (name.startsWith(".")) {
          for (const part of ["cur", "new", "tmp"]) collect(`${root}/${name}/${part}`, part === "tmp", found);
        }
      }
      return found;
    },
    remove({ path }) {
      try {
        unlinkSync(path);
        return true;
      } catch (cause) {
        if (isMissing(cause)) return false;
        throw cause;
      }
    },
    removeAccount(address) {
      if (!addressName.test(address)) throw new TypeError(`${address} names no folder of an account`);
      removeFolder(`${index}/${address}`);
      removeFolder(`${mail}/${address}`);
    },
    has: (address) => namesIn(`${mail}/${address}`).length + namesIn(`${index}/${address}`).length > 0,
  };
}

function collect(folder: string, isUnfinished: boolean, into: StoredMessage[]): void {
  for (const name of namesIn(folder)) {
    const parts = messageName.exec(name);
    // Whatever else lies there, nobody knows how old it is.
    if (parts === null) continue;
    into.push({
      path: `${folder}/${name}`,
      stamp: Number(parts[1]),
      size: Number(parts[3] ?? parts[2] ?? 0),
      isUnfinished,
    });
  }
}

/** Nothing for a folder that is not there: accounts come and go meanwhile, and not every folder is a mailbox. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw cause;
  }
}

function isMissing(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}
