/**
 * Reading pieces of a disk, be it a file or the regions that the format writers would write. Used by the readers of
 * this folder.
 */
import type { FileHandle } from "node:fs/promises";
import type { Region } from "../formats/regions.ts";

/** `length` bytes from `offset`, both in bytes; what lies behind the end reads as zeros. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

/** What is read is not what it should be: damaged, or made to mislead. The message says where. */
export class AuditError extends Error {
  override name = "AuditError";
}

export function readFileAt(file: FileHandle): ReadAt {
  return async (offset, length) => {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes;
  };
}

/** A disk that holds `regions` and zeros between them. */
export function readRegionsAt(regions: readonly Region[]): ReadAt {
  return async (offset, length) => {
    const bytes = Buffer.alloc(length);
    for (const { offset: start, bytes: content } of regions) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + content.length);
      if (from < to) bytes.set(content.subarray(from - start, to - start), from - offset);
    }
    return bytes;
  };
}

/** The disk from `start` on, in bytes: a partition of it. */
export function readFrom(readAt: ReadAt, start: number): ReadAt {
  return (offset, length) => readAt(start + offset, length);
}
