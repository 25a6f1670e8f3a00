/**
 * Copies a disk image, decompressed if it is a .zst, without its empty blocks. Called by `./homing vm`, which makes its disk
 * so, and by the audit, which reads here and there.
 */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { IMAGE_MODE } from "./compressed-image.ts";
import { writeRegions } from "./formats/regions.ts";
import { explainNoRoom } from "./no-room.ts";
import { isCompressed, isDecompressionError, isDiskFile } from "./output-file.ts";
import { writeAside } from "./written-aside.ts";

const BLOCK_BYTES = 1 << 20;
/** The unit of a file's blocks (stat(2)). */
const STAT_BLOCK_BYTES = 512;
/** 2 TiB, more than any card: what claims to hold more is made to fill disks. In bytes. */
const MAX_IMAGE_BYTES = 2 ** 41;

/** What is compressed is damaged or too large, or it is no image that can be read as it is. */
export class ImageCopyError extends Error {
  override name = "ImageCopyError";
}

/**
 * There is a whole copy at the end or none; `mend` says what to do without room for it. Stops at `signal`. Throws
 * ImageCopyError, NoRoomError and the errors of the file system.
 */
export async function copyImage(
  from: string,
  to: string,
  mend: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const start = await readStart(from);
  refuseDiskFile(from, start);
  const compressed = isCompressed(start);
  const { size, blocks } = await stat(from);
  await writeAside(
    to,
    async (newName) => {
      const written = newName();
      await using target = await open(written, "wx", IMAGE_MODE);
      let at = 0;
      const write = async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) {
          if (piece.some((byte) => byte !== 0)) await writeRegions(target, [{ offset: at, bytes: piece }]);
          at += piece.length;
          if (at > MAX_IMAGE_BYTES) throw new ImageCopyError(`${from} is larger than any disk image`);
        }
      };
      const source = createReadStream(from, { highWaterMark: BLOCK_BYTES });
      const stop = { ...(signal && { signal }) };
      await (compressed
        ? pipeline(source, createZstdDecompress({ chunkSize: BLOCK_BYTES }), write, stop)
        : pipeline(source, write, stop)
      ).catch((error) => {
        throw isDecompressionError(error)
          ? new ImageCopyError(`${from} is damaged: it cannot be decompressed`, { cause: error })
          : error;
      });
      await target.truncate(at);
      await target.sync();
      return { written, result: undefined };
    },
    // Compressed and without its empty blocks an image is about the same.
    (error) => explainNoRoom(error, to, Math.min(size, (blocks || Infinity) * STAT_BLOCK_BYTES), mend),
  );
}

/** Throws ImageCopyError for a file that begins as those of hypervisors: only what is in it would be an image. */
export function refuseDiskFile(path: string, start: Buffer): void {
  if (!isDiskFile(start)) return;
  throw new ImageCopyError(`${path} is a hypervisor's disk file; build the relay with --format raw for this`);
}

/** What tells whether a file is compressed. */
export async function readStart(path: string): Promise<Buffer> {
  const start = Buffer.alloc(4);
  await using file = await open(path, "r");
  await file.read(start, 0, start.length, 0);
  return start;
}
