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
import { createFingerprintTable, type FingerprintTable } from "../lib/fingerprint-table.ts";
import type { Log } from "../lib/log.ts";

/**
 * Messages in a file, of which there are two, 1 MiB of memory for each: at a message a second peers may come again for
 * 18 hours, and they do so within minutes.
 */
const MAX_MESSAGES = 65_536;

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
    now = createFingerprintTable(MAX_MESSAGES);
  };
  return {
    has: (fingerprint) => {
      const value = fingerprint.readBigUInt64LE(0);
      return now.has(value) || before.has(value);
    },
    add: (fingerprint) => {
      if (now.count() >= maxMessages) turnOver();
      now.add(fingerprint.readBigUInt64LE(0));
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

/** What a kill cut in the middle of a fingerprint is passed over; a longer file than there can be is read to the limit. */
function readTable(path: string): FingerprintTable {
  const table = createFingerprintTable(MAX_MESSAGES);
  if (!existsSync(path)) return table;
  const bytes = readFileSync(path);
  for (let at = 0; at + 8 <= bytes.length && table.count() < MAX_MESSAGES; at += 8)
    table.add(bytes.readBigUInt64LE(at));
  return table;
}
