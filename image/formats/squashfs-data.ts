/**
 * The data area of a squashfs image: files cut into blocks, small files packed together into fragments,
 * each compressed on libuv's thread pool and written in order. Called by the squashfs writer only.
 * Format: Linux fs/squashfs/squashfs_fs.h and file.c. The bytes do not depend on the number of threads.
 */
import { createHash } from "node:crypto";
import type { FileNode } from "./squashfs-nodes.ts";
import { compressFrame, type FrameOptions } from "./zstd-frame.ts";

/** Set in a block's size when it is stored uncompressed (SQUASHFS_COMPRESSED_BIT_BLOCK). */
const STORED_RAW = 1 << 24;
/** The fragment index of a file that has no fragment (SQUASHFS_INVALID_FRAG). */
export const NO_FRAGMENT = 0xffff_ffff;

/**
 * Blocks handed to the thread pool and not yet written. Twice libuv's four threads keeps them busy while
 * the oldest is awaited, and bounds memory to some 8 × (two blocks + one zstd context).
 */
const BLOCKS_IN_FLIGHT = 8;

/** Where a file's content lies; the fields an inode needs. */
export type FileData = {
  blocksStart: number;
  /** Stored size of each block with its flag; 0 is a block of zeros that is not stored. */
  blockSizes: number[];
  fragment: number;
  fragmentOffset: number;
  /** Bytes that are not stored because they are zero. */
  sparse: number;
};

export type Fragment = { start: number; size: number };
/** Appends to the image and returns the position the bytes begin at. */
export type Append = (bytes: Uint8Array) => Promise<number>;

export type DataOptions = Readonly<{
  blockSize: number;
  frame: FrameOptions;
  /** Called with the bytes of content taken in so far. */
  onProgress: (bytes: number) => void;
  signal?: AbortSignal | undefined;
}>;

/**
 * Writes the content of every file, equal contents once. Rejects when writing fails or `signal` aborts;
 * all compression has ended by then.
 */
export async function writeData(
  files: readonly FileNode[],
  append: Append,
  { blockSize, frame, onProgress, signal }: DataOptions,
): Promise<{ data: Map<FileNode, FileData>; fragments: Fragment[] }> {
  const data = new Map<FileNode, FileData>();
  const fragments: Fragment[] = [];
  const pipeline = orderedPipeline(append, frame);
  const zeros = Buffer.alloc(blockSize);

  let pending: Uint8Array[] = [];
  let pendingSize = 0;
  const flushFragment = async (): Promise<void> => {
    if (pendingSize === 0) return;
    const raw = Buffer.concat(pending, pendingSize);
    const fragment: Fragment = { start: 0, size: 0 };
    fragments.push(fragment);
    pending = [];
    pendingSize = 0;
    await pipeline.submit(raw, (start, size) => Object.assign(fragment, { start, size }));
  };

  try {
    const originals = findDuplicates(files);
    let taken = 0;
    for (const file of files) {
      signal?.throwIfAborted();
      const original = originals.get(file);
      if (original !== undefined) {
        // The very same object: its fields may still be filled in by the pipeline.
        data.set(file, data.get(original)!);
      } else {
        const placed: FileData = {
          blocksStart: 0,
          blockSizes: [],
          fragment: NO_FRAGMENT,
          fragmentOffset: 0,
          sparse: 0,
        };
        data.set(file, placed);
        if (file.content.length > 0 && file.content.length < blockSize) {
          if (pendingSize + file.content.length > blockSize) await flushFragment();
          placed.fragment = fragments.length;
          placed.fragmentOffset = pendingSize;
          pending.push(file.content);
          pendingSize += file.content.length;
        } else {
          await writeBlocks(file.content, placed);
        }
      }
      taken += file.content.length;
      onProgress(taken);
    }
    await flushFragment();
    await pipeline.finish();
  } catch (error) {
    await pipeline.abandon();
    throw error;
  }
  return { data, fragments };

  async function writeBlocks(content: Uint8Array, placed: FileData): Promise<void> {
    let stored = 0;
    for (let at = 0; at < content.length; at += blockSize) {
      signal?.throwIfAborted();
      const raw = content.subarray(at, at + blockSize);
      const index = placed.blockSizes.push(0) - 1;
      if (zeros.compare(raw, 0, raw.length, 0, raw.length) === 0) {
        placed.sparse += raw.length;
        continue;
      }
      const isFirst = stored++ === 0;
      await pipeline.submit(raw, (start, size) => {
        if (isFirst) placed.blocksStart = start;
        placed.blockSizes[index] = size;
      });
    }
  }
}

type Placed = (start: number, size: number) => void;

/** Compresses many blocks at once but writes them in the order they came. */
function orderedPipeline(append: Append, frame: FrameOptions) {
  const queue: { raw: Uint8Array; frame: Promise<Uint8Array>; placed: Placed }[] = [];

  const writeOldest = async (): Promise<void> => {
    const { raw, frame, placed } = queue.shift()!;
    const compressed = await frame;
    if (compressed.length < raw.length) placed(await append(compressed), compressed.length);
    else placed(await append(raw), raw.length | STORED_RAW);
  };

  return {
    async submit(raw: Uint8Array, placed: Placed): Promise<void> {
      while (queue.length >= BLOCKS_IN_FLIGHT) await writeOldest();
      const compressed = compressFrame(raw, frame);
      // A failure is reported when the block's turn comes; until then it must not count as unhandled.
      compressed.catch(() => {});
      queue.push({ raw, frame: compressed, placed });
    },
    async finish(): Promise<void> {
      while (queue.length > 0) await writeOldest();
    },
    /** After a failure: waits until no thread works on our buffers any more. */
    async abandon(): Promise<void> {
      await Promise.allSettled(queue.map(({ frame }) => frame));
    },
  };
}

/** For each file whose content an earlier file has too, that earlier file. Only equal sizes are hashed. */
function findDuplicates(files: readonly FileNode[]): Map<FileNode, FileNode> {
  const bySize = Map.groupBy(files, (file) => file.content.length);
  const originals = new Map<FileNode, FileNode>();
  for (const [size, candidates] of bySize) {
    if (size === 0 || candidates.length < 2) continue;
    const first = new Map<string, FileNode>();
    for (const file of candidates) {
      const digest = createHash("sha256").update(file.content).digest("hex");
      const original = first.get(digest);
      if (original === undefined) first.set(digest, file);
      else originals.set(file, original);
    }
  }
  return originals;
}
