/**
 * Compresses a finished disk image to one zstd frame that names the size of its content, as Raspberry Pi Imager and
 * `zstd -d` take it (RFC 8878). Called by image/build.ts. Memory does not grow with the image; equal images give equal
 * bytes with one zstd (Node version).
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import { writeRegions } from "./formats/regions.ts";

/**
 * Most of an image is compressed already; past 9 the rest (kernel, firmware) shrinks by less than 1 % of the whole and
 * takes three times as long.
 */
const LEVEL = 9;
const CHUNK_BYTES = 4 << 20;

/** Readable and writable by its owner only: the relay's keys are in it. */
export const IMAGE_MODE = 0o600;

/** An image in a file of another form: compressed, or as a hypervisor's disk. */
export type PackedImage = Readonly<{
  /** Of the image inside, hexadecimal. */
  imageSha256: string;
  /** Of the file. */
  bytes: number;
  sha256: string;
}>;

/**
 * Writes the file `to`, which must not be there, from the image `from` of `imageBytes`. `onProgress` counts the bytes of
 * the image. Throws what the file system says, and an AbortError when `signal` aborts.
 */
export async function compressImage(
  from: string,
  to: string,
  imageBytes: number,
  onProgress: (done: number) => void,
  signal?: AbortSignal,
): Promise<PackedImage> {
  const imageHash = createHash("sha256");
  const hash = createHash("sha256");
  let done = 0;
  let bytes = 0;
  // Not a stream to the file: one that is stopped may still be opening it when all others have ended.
  await using file = await open(to, "wx", IMAGE_MODE);
  await pipeline(
    createReadStream(from, { highWaterMark: CHUNK_BYTES }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        imageHash.update(chunk);
        done += chunk.length;
        onProgress(done);
        yield chunk;
      }
    },
    // By one thread: with zstd's own threads (nbWorkers) Node's stream ends before they do, and the end is lost.
    createZstdCompress({
      chunkSize: CHUNK_BYTES,
      pledgedSrcSize: imageBytes,
      params: {
        [constants.ZSTD_c_compressionLevel]: LEVEL,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    }),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        hash.update(chunk);
        await writeRegions(file, [{ offset: bytes, bytes: chunk }]);
        bytes += chunk.length;
      }
    },
    { ...(signal && { signal }) },
  );
  await file.sync();
  return { imageSha256: imageHash.digest("hex"), bytes, sha256: hash.digest("hex") };
}
