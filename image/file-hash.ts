/** The SHA-256 of a large file. Called where an image, a disk file or a root file system is checked by reading it back. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/**
 * One read goes on while what the last one gave is hashed, into two buffers that stay: an image of 670 MB, most of it
 * holes, takes a third of the time that a stream takes, which has new memory for every piece.
 */
const READ_BYTES = 4 << 20;

export type FileHash = Readonly<{
  /** Size of the file. */
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
}>;

/** Throws what the file system says, and an AbortError when `signal` aborts. */
export async function hashFile(path: string, signal?: AbortSignal): Promise<FileHash> {
  const hash = createHash("sha256");
  await using file = await open(path);
  const buffers = [Buffer.allocUnsafe(READ_BYTES), Buffer.allocUnsafe(READ_BYTES)] as const;
  let bytes = 0;
  let next = file.read(buffers[0], 0, READ_BYTES, 0);
  for (let turn = 1; ; turn++) {
    const { bytesRead, buffer } = await next;
    if (bytesRead === 0) return { bytes, sha256: hash.digest("hex") };
    signal?.throwIfAborted();
    bytes += bytesRead;
    next = file.read(buffers[turn % 2 === 0 ? 0 : 1], 0, READ_BYTES, bytes);
    hash.update(buffer.subarray(0, bytesRead));
  }
}
