/**
 * Writes a file tree as a squashfs 4.0 image with zstd compression: the root file system of every image.
 * Called by image/rootfs/build-rootfs.ts. The same tree and options give the same bytes on any number of processors; a
 * different zstd (Node version) may compress differently. Format: Linux fs/squashfs/squashfs_fs.h.
 *
 * Layout: superblock, data blocks and fragments, inode table, directory table, fragment table, export
 * table, id table; each of the last three followed by an index of its metadata blocks.
 */
import { type FileHandle, open } from "node:fs/promises";
import type { Tree } from "../rootfs/tree.ts";
import { type Append, writeData } from "./squashfs-data.ts";
import { encodeMetadata, METADATA_SIZE, metadataBlock, u32 } from "./squashfs-metadata.ts";
import { numberNodes, SquashfsTreeError } from "./squashfs-nodes.ts";
import type { FrameOptions } from "./zstd-frame.ts";

export { SquashfsTreeError };

const MAGIC = 0x73717368;
const SUPERBLOCK_SIZE = 96;
const COMPRESSION_ZSTD = 6;
const FLAG_DUPLICATES_REMOVED = 0x40;
const FLAG_EXPORTABLE = 0x80;
const FLAG_NO_XATTRS = 0x200;
const NO_TABLE = 0xffff_ffff_ffff_ffffn;
/** The file ends on a multiple of a page, as a block device would. */
const PADDING = 4096;
/** The id count is a 16-bit field. */
const IDS_MAX = 0xffff;

/** 256 KiB: about 3 % smaller than squashfs' default of 128 KiB, while a small device can spare the cache. */
export const BLOCK_LOG = 18;
/** 15 makes the system 7 % smaller, and compressing it takes twelve times the work. */
export const DEFAULT_LEVEL = 9;

export type SquashfsOptions = Readonly<{
  /** Modification time of everything and creation time of the file system, seconds since 1970 (32 bits). */
  time: number;
  /** zstd level, 1 to 22; 9 unless given. */
  level?: number;
  /** Called as content is taken in, with bytes done and bytes in all. */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}>;

/**
 * Writes `tree` to a file: created or overwritten when given by its path, else written from position 0 of
 * the handle, which stays open. Returns the size of the image in bytes (a multiple of 4096) and the number
 * of inodes. Directories missing in the tree become 0755 root:root.
 *
 * Throws SquashfsTreeError naming the path that cannot be represented, the signal's reason when aborted,
 * and what the file system reports (disk full). The file is incomplete then: write aside and rename.
 */
export async function writeSquashfs(
  tree: Tree,
  file: FileHandle | string,
  options: SquashfsOptions,
): Promise<{ bytes: number; inodes: number }> {
  if (typeof file !== "string") return writeTo(file, tree, options);
  await using handle = await open(file, "w");
  return await writeTo(handle, tree, options);
}

async function writeTo(file: FileHandle, tree: Tree, options: SquashfsOptions) {
  const { time, level = DEFAULT_LEVEL, onProgress, signal } = options;
  if (!Number.isInteger(time) || time < 0 || time > 0xffff_ffff) {
    throw new RangeError(`squashfs: time ${time} does not fit 32 bits of seconds`);
  }
  const nodes = numberNodes(tree);
  const total = nodes.files.reduce((sum, { content }) => sum + content.length, 0);
  const frame: FrameOptions = { level, windowLog: BLOCK_LOG };

  let position = SUPERBLOCK_SIZE;
  const append: Append = async (bytes) => {
    const start = position;
    await writeFully(file, bytes, start);
    position += bytes.length;
    return start;
  };

  const { data, fragments } = await writeData(nodes.files, append, {
    blockSize: 1 << BLOCK_LOG,
    frame,
    onProgress: (done) => onProgress?.(done, total),
    signal,
  });

  const metadata = encodeMetadata(nodes, data, time, frame);
  if (metadata.ids.length > IDS_MAX) {
    throw new SquashfsTreeError(`${metadata.ids.length} different owners, squashfs knows at most ${IDS_MAX}`);
  }
  const inodeTableStart = await append(metadata.inodeTable);
  const directoryTableStart = await append(metadata.directoryTable);

  const fragmentEntries = Buffer.alloc(fragments.length * 16);
  fragments.forEach(({ start, size }, index) => {
    fragmentEntries.writeBigUInt64LE(BigInt(start), index * 16); // start_block
    fragmentEntries.writeUInt32LE(size, index * 16 + 8); // size
  });
  const fragmentTableStart = await appendTable(append, fragmentEntries, frame);
  const exportTableStart = await appendTable(append, u64(metadata.inodeReferences), frame);
  const idTableStart = await appendTable(append, u32(...metadata.ids), frame);

  const superblock = Buffer.alloc(SUPERBLOCK_SIZE);
  superblock.writeUInt32LE(MAGIC, 0); // s_magic
  superblock.writeUInt32LE(nodes.inodeCount, 4); // inodes
  superblock.writeUInt32LE(time, 8); // mkfs_time
  superblock.writeUInt32LE(1 << BLOCK_LOG, 12); // block_size
  superblock.writeUInt32LE(fragments.length, 16); // fragments
  superblock.writeUInt16LE(COMPRESSION_ZSTD, 20); // compression
  superblock.writeUInt16LE(BLOCK_LOG, 22); // block_log
  superblock.writeUInt16LE(FLAG_DUPLICATES_REMOVED | FLAG_EXPORTABLE | FLAG_NO_XATTRS, 24); // flags
  superblock.writeUInt16LE(metadata.ids.length, 26); // no_ids
  superblock.writeUInt16LE(4, 28); // s_major
  superblock.writeUInt16LE(0, 30); // s_minor
  superblock.writeBigUInt64LE(metadata.rootInode, 32); // root_inode
  superblock.writeBigUInt64LE(BigInt(position), 40); // bytes_used
  superblock.writeBigUInt64LE(BigInt(idTableStart), 48); // id_table_start
  superblock.writeBigUInt64LE(NO_TABLE, 56); // xattr_id_table_start
  superblock.writeBigUInt64LE(BigInt(inodeTableStart), 64); // inode_table_start
  superblock.writeBigUInt64LE(BigInt(directoryTableStart), 72); // directory_table_start
  superblock.writeBigUInt64LE(BigInt(fragmentTableStart), 80); // fragment_table_start
  superblock.writeBigUInt64LE(BigInt(exportTableStart), 88); // lookup_table_start
  await writeFully(file, superblock, 0);

  const bytes = Math.ceil(position / PADDING) * PADDING;
  await file.truncate(bytes);
  return { bytes, inodes: nodes.inodeCount };
}

/** Appends the entries in metadata blocks, then the position of each block; returns where these begin. */
async function appendTable(append: Append, entries: Buffer, frame: FrameOptions): Promise<number> {
  const positions: bigint[] = [];
  for (let at = 0; at < entries.length; at += METADATA_SIZE) {
    const block = metadataBlock(entries.subarray(at, at + METADATA_SIZE), frame);
    positions.push(BigInt(await append(block)));
  }
  return append(u64(positions));
}

function u64(values: BigUint64Array | readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => {
    bytes.writeBigUInt64LE(value, index * 8);
  });
  return bytes;
}

/** A single write may be cut short, for example at a file-size limit. */
async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
