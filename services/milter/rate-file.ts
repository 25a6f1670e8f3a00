/**
 * Keeps a rate limit's table in a file in memory (tmpfs), written through with every message: when the service is
 * restarted, or killed, every sender is charged as before, and no SD card is worn. A reboot forgets it, and takes
 * longer than restoring the usual limit. Called by service.ts.
 *
 *   file = "HOMINGRL" | u32 version | u32 number of slots | secret (16 bytes) | slots (rate-table.ts)
 */
import { closeSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { Log } from "../lib/log.ts";
import { MAX_SENDERS, type RateStore } from "./rate-table.ts";

const magic = "HOMINGRL";
const VERSION = 1;
const HEAD_BYTES = 32;
const SLOT_BYTES = 16;

/**
 * Opens or makes the file. A damaged one is replaced by an empty one, and the log says so; when the file cannot be
 * written, the limit goes on in memory, and the log says so once.
 */
export function openRateFile(path: string, log: Log): RateStore {
  let file: number | null = null;
  let hasFailed = false;

  const attempt = (write: () => void): void => {
    if (hasFailed) return;
    try {
      write();
    } catch (cause) {
      hasFailed = true;
      log.error("cannot keep the rate limit: a restart of this service will forget it", { path }, cause);
    }
  };

  return {
    load() {
      try {
        const bytes = readFileSync(path);
        const problem = problemOf(bytes);
        if (problem !== null) {
          log.error("the rate limit begins anew: its file is damaged", { path, problem });
          return null;
        }
        file = openSync(path, "r+");
        return { secret: bytes.subarray(16, HEAD_BYTES), slots: bytes.subarray(HEAD_BYTES) };
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
          log.error("the rate limit begins anew: its file cannot be read", { path }, cause);
        }
        return null;
      }
    },
    replace(secret, slots) {
      attempt(() => {
        const head = Buffer.alloc(HEAD_BYTES);
        head.write(magic, "latin1");
        head.writeUInt32LE(VERSION, 8);
        head.writeUInt32LE(slots.length / SLOT_BYTES, 12);
        secret.copy(head, 16);
        // Under another name first: a crash leaves the old table or the new one.
        const next = openSync(`${path}.new`, "w+", 0o600);
        writeAll(next, head, 0);
        writeAll(next, slots, HEAD_BYTES);
        renameSync(`${path}.new`, path);
        if (file !== null) closeSync(file);
        file = next;
      });
    },
    update(slots, offset, length) {
      attempt(() => writeSync(file!, slots, offset, length, HEAD_BYTES + offset));
    },
  };
}

function writeAll(file: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, position + done);
  }
}

function problemOf(bytes: Buffer): string | null {
  if (bytes.length < HEAD_BYTES || bytes.toString("latin1", 0, 8) !== magic) return "it is no such file";
  if (bytes.readUInt32LE(8) !== VERSION) return `it is of version ${bytes.readUInt32LE(8)}`;
  const capacity = bytes.readUInt32LE(12);
  const isPowerOfTwo = capacity > 0 && (capacity & (capacity - 1)) === 0;
  if (!isPowerOfTwo || capacity > 4 * MAX_SENDERS) return `it says it has ${capacity} slots`;
  return bytes.length === HEAD_BYTES + capacity * SLOT_BYTES ? null : "it has another length than it says";
}
