/**
 * What became of the last messages at the mailboxes: begun, and then delivered or not. A file, so that it outlives this
 * service and the system; when it is full or old it becomes the old one, and the old one goes. Called by deliveries.ts.
 *
 *   file   = record*
 *   record = 8 bytes, 4 letters: a fingerprint and what became of it, or the time of the first record
 *
 * Nothing is synced here. On the device the folder is one whose files ext4 writes through its journal
 * (appliance/files/system.ts): Dovecot's fsync of a message takes the record of its beginning along, which was written
 * before, so that after a power cut no message is there without it.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { createFingerprintTable, type FingerprintTable } from "../lib/fingerprint-table.ts";
import type { Log } from "../lib/log.ts";

/**
 * Deliveries in a file, of which there are two, 2 MiB of memory for each: at ten deliveries a second, more than a small
 * relay carries in an hour of its life, the last three hours are known; Postfix comes again within half an hour.
 */
const MAX_DELIVERED = 131_072;
/** So long a sender may come again with a message that it thinks is not delivered (RFC 5321 §4.5.4.1). Milliseconds. */
const MAX_AGE_MS = 5 * 24 * 3_600_000;
/** A delivery has two records; those that Dovecot refused count as well. */
const MAX_RECORDS = 3 * MAX_DELIVERED;

const RECORD_BYTES = 12;
const words = { begun: "bgn\n", delivered: "dlv\n", refused: "not\n", since: "snc\n" } as const;

export type DeliveredList = Readonly<{
  /** "begun": by a delivery under way, or by one whose end nobody saw. */
  state: (fingerprint: bigint) => "begun" | "delivered" | undefined;
  /**
   * "refused" takes back what was begun. When it returns the kernel has it, so that it outlives this process. Never
   * throws: without a file, memory must do.
   */
  note: (what: "begun" | "delivered" | "refused", fingerprints: readonly bigint[]) => void;
  close: () => void;
}>;

export type DeliveredListOptions = Readonly<{
  /** Gets a second file beside it, `path`.old. */
  path: string;
  log: Log;
  /** Milliseconds since 1970. */
  now?: () => number;
  maxDelivered?: number;
}>;

/** A file that cannot be read is put aside (`path`.broken): mail goes on, and what was in it may come twice. */
export function openDeliveredList(options: DeliveredListOptions): DeliveredList {
  const { path, log, now = Date.now, maxDelivered = MAX_DELIVERED } = options;
  const readOrPutAside = (name: string, previous?: Generation): Generation => {
    try {
      return readGeneration(name, maxDelivered, previous);
    } catch (cause) {
      log.error("cannot read which messages were delivered; some may come twice", { path: name }, cause);
      try {
        renameSync(name, `${path}.broken`);
      } catch (second) {
        log.error("cannot put that file aside", { path: name }, second);
      }
      return emptyGeneration(maxDelivered);
    }
  };
  let before = readOrPutAside(`${path}.old`);
  let current = readOrPutAside(path, before);
  const file = createAppender(path, log);

  const turnOver = (): void => {
    before = current;
    current = emptyGeneration(maxDelivered);
    file.putAside(`${path}.old`);
  };
  const isOver = (): boolean => {
    const age = now() - (current.since ?? now());
    return (
      current.delivered.count() >= maxDelivered ||
      current.records >= Math.min(MAX_RECORDS, 3 * maxDelivered) ||
      age > MAX_AGE_MS ||
      // The clock was wrong then, or is now.
      age < -MAX_AGE_MS
    );
  };
  const noteOne = (what: "begun" | "delivered" | "refused", fingerprint: bigint): void => {
    if (isOver()) turnOver();
    if (current.since === undefined) {
      current.since = now();
      file.append(record(BigInt(current.since), words.since));
    }
    if (what === "begun") current.begun.add(fingerprint);
    else for (const { begun } of [before, current]) begun.delete(fingerprint);
    if (what === "delivered") current.delivered.add(fingerprint);
    current.records++;
    file.append(record(fingerprint, words[what]));
  };
  return {
    state: (fingerprint) => {
      for (const { begun, delivered } of [current, before]) {
        if (delivered.has(fingerprint)) return "delivered";
        if (begun.has(fingerprint)) return "begun";
      }
      return undefined;
    },
    note: (what, fingerprints) => {
      for (const one of fingerprints) noteOne(what, one);
    },
    close: file.close,
  };
}

type Generation = {
  readonly begun: Set<bigint>;
  readonly delivered: FingerprintTable;
  /** Time of its first record. */
  since: number | undefined;
  records: number;
};

function emptyGeneration(maxDelivered: number): Generation {
  return {
    begun: new Set(),
    delivered: createFingerprintTable(maxDelivered),
    since: undefined,
    records: 0,
  };
}

function record(value: bigint, word: string): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES);
  bytes.writeBigUInt64LE(value);
  bytes.write(word, 8, "latin1");
  return bytes;
}

/** What is no record (a power cut on a file system without that journal leaves zeros) is passed over. */
function readGeneration(path: string, maxDelivered: number, before?: Generation): Generation {
  const made = emptyGeneration(maxDelivered);
  if (!existsSync(path)) return made;
  const bytes = readFileSync(path);
  for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    const value = bytes.readBigUInt64LE(at);
    const word = bytes.toString("latin1", at + 8, at + RECORD_BYTES);
    made.records++;
    if (word === words.since) made.since ??= Number(value);
    else if (word === words.begun) made.begun.add(value);
    else if (word === words.delivered || word === words.refused) {
      made.begun.delete(value);
      before?.begun.delete(value);
      if (word === words.delivered && made.delivered.count() < maxDelivered) made.delivered.add(value);
    }
  }
  return made;
}

/**
 * Waits for each write: it goes to the kernel's memory, which takes a few microseconds. On a busy machine a message would
 * wait milliseconds for a thread's turn.
 */
function createAppender(path: string, log: Log) {
  let file: number | undefined;
  let hasFailed = false;
  const close = (): void => {
    const open = file;
    file = undefined;
    if (open !== undefined) closeSync(open);
  };
  const attempt = (step: () => void): void => {
    try {
      step();
      hasFailed = false;
    } catch (cause) {
      if (!hasFailed) log.error("cannot note which messages were delivered", { path }, cause);
      hasFailed = true;
      // Opened again, it is cut off after its last whole record.
      try {
        close();
      } catch {
        // The disk has failed; that was told.
      }
    }
  };
  return {
    append: (bytes: Buffer): void =>
      attempt(() => {
        file ??= openAtWholes(path);
        writeFileSync(file, bytes);
      }),
    putAside: (to: string): void =>
      attempt(() => {
        close();
        renameSync(path, to);
      }),
    close,
  };
}

/** A write that broke off may have left a part of a record; what follows must stand in its place. */
function openAtWholes(path: string): number {
  const file = openSync(path, "a", 0o600);
  const { size } = fstatSync(file);
  if (size % RECORD_BYTES !== 0) ftruncateSync(file, size - (size % RECORD_BYTES));
  return file;
}
