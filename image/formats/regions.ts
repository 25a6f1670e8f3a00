/**
 * Pieces of a disk image at their places. The format writers describe a disk by the bytes that are not
 * zero; image/targets puts them together and writes one sparse file.
 */
import type { FileHandle } from "node:fs/promises";

/** Bytes at an offset, in bytes from the start of the disk or partition it describes. */
export type Region = Readonly<{ offset: number; bytes: Uint8Array }>;

/**
 * Writes regions to `file`, each moved by `offset` bytes (a partition's start). What lies between them is
 * left as it is: a hole in a new file. Rejects with what the file system reports.
 */
export async function writeRegions(file: FileHandle, regions: readonly Region[], offset = 0): Promise<void> {
  for (const region of regions) {
    for (let written = 0; written < region.bytes.length; ) {
      const position = offset + region.offset + written;
      const { bytesWritten } = await file.write(
        region.bytes,
        written,
        region.bytes.length - written,
        position,
      );
      written += bytesWritten;
    }
  }
}
