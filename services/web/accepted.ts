/**
 * Remembers the last messages that came by HTTPS: a peer that never got the answer offers the same again, and that must
 * not arrive twice. The memory is a file (tmpfs), written with every message, so that it outlives this service; a reboot
 * forgets it. Called by mxdeliv.ts.
 *
 *   file = fingerprints of 8 bytes, in the order of the messages; when it is full it becomes the old one
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import type { Log } from "../lib/log.ts";

/**
 * Messages in a file, of which there are two, 1 MiB of memory for each: at a message a second peers may come again for
 * 18 hours, and they do so within minutes.
 */
const MAX_MESSAGES = 65_536;
/** Half of the slots stay empty, so that a search ends soon. */
const SLOTS = 2 * MAX_MESSAGES;

export type Accepted = Readonly<{
  has: (fingerprint: Buffer) => boolean;
  add: (fingerprint: Buffer) => void;
  close: () => void;
}>;

/** What is a fingerprint here: the first 8 bytes of a hash. `path` gets a second file beside it, `path`.old. */
export function openAccepted(path: string, log: Log, maxMessages: number = MAX_MESSAGES): Accepted {
  const old = `${path}.old`;
  let before = readTable(old);
  let now = readTable(path);
  let file: number | undefined;
  let hasFailed = false;
  const write = (fingerprint: Buffer): void => {
    try {
      file ??= openAtWholes(path);
      writeSync(file, fingerprint, 0, 8);
      hasFailed = false;
    } catch (cause) {
      // Until the service restarts, memory does.
      if (!hasFailed) log.error("cannot note which messages came", { path }, cause);
      hasFailed = true;
    }
  };
  const close = (): void => {
    if (file !== undefined) closeSync(file);
    file = undefined;
  };
  const turnOver = (): void => {
    close();
    try {
      renameSync(path, old);
    } catch (cause) {
      log.error("cannot put the list of messages aside", { path }, cause);
    }
    before = now;
    now = createTable();
  };
  return {
    has: (fingerprint) => now.has(fingerprint) || before.has(fingerprint),
    add: (fingerprint) => {
      if (now.count() >= maxMessages) turnOver();
      now.add(fingerprint);
      write(fingerprint);
    },
    close,
  };
}

/** A kill may have cut the last note; what follows must stand in its place. */
function openAtWholes(path: string): number {
  const file = openSync(path, "a", 0o600);
  const { size } = fstatSync(file);
  if (size % 8 !== 0) ftruncateSync(file, size - (size % 8));
  return file;
}

type Table = ReturnType<typeof createTable>;

/** Open addressing: 8 bytes for a message, where a Set would take ten times that. */
function createTable() {
  const slots = new BigUint64Array(SLOTS);
  let count = 0;
  /** Where it stands, or would. 0 marks an empty slot, so it stands for 1. */
  const find = (fingerprint: Buffer): readonly [slot: number, value: bigint] => {
    const value = fingerprint.readBigUInt64LE(0) || 1n;
    let slot = Number(value % BigInt(SLOTS));
    while (slots[slot] !== 0n && slots[slot] !== value) slot = (slot + 1) % SLOTS;
    return [slot, value];
  };
  return {
    count: () => count,
    has: (fingerprint: Buffer): boolean => slots[find(fingerprint)[0]] !== 0n,
    add: (fingerprint: Buffer): void => {
      const [slot, value] = find(fingerprint);
      if (slots[slot] === 0n) count++;
      slots[slot] = value;
    },
  };
}

/** What a kill cut in the middle of a fingerprint is passed over; a longer file than there can be is read to the limit. */
function readTable(path: string): Table {
  const table = createTable();
  if (!existsSync(path)) return table;
  const bytes = readFileSync(path);
  for (let at = 0; at + 8 <= bytes.length && table.count() < MAX_MESSAGES; at += 8)
    table.add(bytes.subarray(at, at + 8));
  return table;
}
