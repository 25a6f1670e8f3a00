/**
 * Zstandard frames the Linux kernel's squashfs can read. Called by the squashfs writer for every data,
 * fragment and metadata block. Frame format: RFC 8878 §3.1.1; the reader's demands: Linux
 * fs/squashfs/zstd_wrapper.c.
 */
import { promisify } from "node:util";
import { constants, type ZstdOptions, zstdCompress, zstdCompressSync } from "node:zlib";

const compressAsync: (raw: Uint8Array, options: ZstdOptions) => Promise<Buffer> = promisify(zstdCompress);

export type FrameOptions = Readonly<{
  /** Zstandard level, 1 to 22. */
  level: number;
  /**
   * Base-2 logarithm of the window. The kernel gives its decompressor a window of one squashfs block, so a
   * level's own default (up to 27) makes it refuse the frame ("error 64").
   */
  windowLog: number;
}>;

/** One frame holding `raw`, compressed on libuv's thread pool. The bytes depend on the input alone. */
export async function compressFrame(raw: Uint8Array, options: FrameOptions): Promise<Uint8Array> {
  return dropEmptyLastBlock(await compressAsync(raw, zstdOptions(raw, options)));
}

/** Like `compressFrame`, on the calling thread: for blocks of a few KiB whose size is needed at once. */
export function compressFrameSync(raw: Uint8Array, options: FrameOptions): Uint8Array {
  return dropEmptyLastBlock(zstdCompressSync(raw, zstdOptions(raw, options)));
}

/** Room for a frame's headers, so that the output never needs a second buffer. */
const FRAME_OVERHEAD = 64;
/** The smallest chunk node:zlib accepts is 64 bytes; a KiB spares tiny inputs the reallocation. */
const SMALLEST_CHUNK = 1024;

function zstdOptions(raw: Uint8Array, { level, windowLog }: FrameOptions): ZstdOptions {
  return {
    chunkSize: Math.max(SMALLEST_CHUNK, raw.length + FRAME_OVERHEAD),
    // Puts the content size into the frame header and lets the window shrink to it.
    pledgedSrcSize: raw.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_windowLog]: windowLog,
    },
  };
}

const MAGIC_NUMBER = 0xfd2fb528;
const BLOCK_HEADER_SIZE = 3;
const BLOCK_TYPE_RLE = 1;

/**
 * Takes away the empty last block (`01 00 00`) with which node:zlib ends a frame whose input is a multiple
 * of 128 KiB, and marks the block before it as the last. The kernel answers EIO when these three bytes
 * straddle a page boundary of the image; unsquashfs does not notice, so only a kernel mount shows it.
 * Works in place and returns a view of `frame`. Throws when `frame` is not exactly one frame.
 */
export function dropEmptyLastBlock(frame: Buffer): Buffer {
  if (frame.readUInt32LE(0) !== MAGIC_NUMBER) throw new Error("zstd frame: wrong magic number");
  const descriptor = frame.readUInt8(4);
  if (descriptor & 0b100) throw new Error("zstd frame: unexpected content checksum");
  const singleSegment = (descriptor >> 5) & 1;
  const windowDescriptorSize = singleSegment ? 0 : 1;
  const dictionaryIdSize = [0, 1, 2, 4][descriptor & 0b11]!;
  const contentSizeSize = [singleSegment, 2, 4, 8][descriptor >> 6]!;

  let previous = -1;
  let at = 5 + windowDescriptorSize + dictionaryIdSize + contentSizeSize;
  while (true) {
    const header = frame.readUIntLE(at, BLOCK_HEADER_SIZE);
    const isLast = (header & 1) === 1;
    const blockSize = header >> 3;
    if (isLast && blockSize === 0 && previous >= 0) {
      frame[previous]! |= 1;
      return frame.subarray(0, at);
    }
    // An RLE block stores one byte, whatever its Block_Size says.
    const end = at + BLOCK_HEADER_SIZE + (((header >> 1) & 0b11) === BLOCK_TYPE_RLE ? 1 : blockSize);
    if (isLast) {
      if (end !== frame.length) throw new Error("zstd frame: bytes after the last block");
      return frame;
    }
    previous = at;
    at = end;
  }
}
