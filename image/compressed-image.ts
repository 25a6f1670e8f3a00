/**
 * Compresses a finished disk image to one zstd frame that names the size of its content, as Raspberry Pi Imager and
 * `zstd -d` take it (RFC 8878). Called by image/build.ts. Memory does not grow with the image; equal images give equal
 * bytes with one zstd (Node version).
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";

/**
 * Most of an image is compressed already; past 9 the rest (kernel, firmware) shrinks by less than 1 % of the whole and
 * takes three times as long.
 */
const LEVEL = 9;
const CHUNK_BYTES = 4 << 20;

/** Readable and writable by its owner only: the relay's keys are in it. */
export const IMAGE_MODE = 0o600;

export type CompressedImage = Readonly<{
  /** Of the image inside, hexadecimal. */
  imageSha256: string;
  /** Of the compressed file. */
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
): Promise<CompressedImage> {
  const imageHash = createHash("sha256");
  const hash = createHash("sha256");
  let done = 0;
  let bytes = 0;
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
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(to, { flags: "wx", mode: IMAGE_MODE, flush: true }),
    { ...(signal && { signal }) },
  );
  return { imageSha256: imageHash.digest("hex"), bytes, sha256: hash.digest("hex") };
}
