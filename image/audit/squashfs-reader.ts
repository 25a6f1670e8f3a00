/**
 * Lists everything in a squashfs 4.0 image with zstd compression, the contents as SHA-256: the root file system of
 * an image, which may have been written by somebody else. Called by audit.ts; memory holds the metadata and one
 * block. Format: Linux fs/squashfs/squashfs_fs.h. All integers are little-endian.
 */
import { createHash } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { AuditError, type ReadAt } from "./read-at.ts";
import { type FileFields, type InodeType, parseInode, parseListing } from "./squashfs-inodes.ts";

const MAGIC = 0x73717368;
const SUPERBLOCK_SIZE = 96;
const COMPRESSION_ZSTD = 6;
const METADATA_SIZE = 8192;
const METADATA_RAW = 1 << 15;
const DATA_RAW = 1 << 24;
const DIRECTORY_SIZE_EXTRA = 3;
const FRAGMENT_ENTRY_SIZE = 16;

/** The kernel's own limit for a block (SQUASHFS_FILE_MAX_SIZE). */
const MAX_BLOCK_BYTES = 1 << 20;
/** Ours has some 10,000 inodes and 400 KB of metadata; bounds against an image made to take all memory. */
const MAX_INODES = 1_000_000;
const MAX_METADATA_BYTES = 256 << 20;
/** Linux PATH_MAX: deeper trees cannot be named. */
const MAX_DEPTH = 2048;

export type FoundEntry = Readonly<{
  type: InodeType;
  mode: number;
  uid: number;
  gid: number;
  /** Modification time in seconds since 1970. */
  time: number;
  /** Paths with the same number are names of one file. */
  inode: number;
  hasXattrs: boolean;
  /** Of a file: bytes and SHA-256 of its content, hexadecimal. */
  size?: number;
  sha256?: string;
  /** Of a symlink. */
  target?: string;
  /** Of a device, as the format has it. */
  device?: number;
}>;

export type FoundTree = Readonly<{
  /** By path relative to the root, which is "". */
  entries: ReadonlyMap<string, FoundEntry>;
  /** Bytes of the file system; what lies behind belongs to nothing. */
  bytes: number;
  /** Seconds since 1970 at which it was made. */
  time: number;
  /** Bytes of the file system that belong to nothing that is listed: room to hide in. */
  unreferencedBytes: number;
}>;

/** When the file system that begins where `read` does was made, in seconds since 1970. Throws AuditError. */
export async function squashfsTime(read: ReadAt): Promise<number> {
  const superblock = await read(0, SUPERBLOCK_SIZE);
  if (superblock.readUInt32LE(0) !== MAGIC) throw new AuditError("the root partition holds no squashfs");
  return superblock.readUInt32LE(8); // mkfs_time
}

type Progress = (done: number, total: number) => void;

/** Reads it all; `onProgress` counts inodes. Throws AuditError when it is unsound. */
export async function readSquashfs(
  read: ReadAt,
  onProgress: Progress = () => {},
  signal?: AbortSignal,
): Promise<FoundTree> {
  const superblock = await read(0, SUPERBLOCK_SIZE);
  const inodeCount = superblock.readUInt32LE(4); // inodes
  const blockSize = superblock.readUInt32LE(12); // block_size
  if (
    superblock.readUInt32LE(0) !== MAGIC ||
    superblock.readUInt16LE(28) !== 4 || // s_major
    superblock.readUInt16LE(20) !== COMPRESSION_ZSTD || // compression
    blockSize !== 2 ** superblock.readUInt16LE(22) || // block_log
    blockSize > MAX_BLOCK_BYTES ||
    inodeCount > MAX_INODES
  ) {
    throw new AuditError("the root partition holds no squashfs 4.0 file system with zstd compression");
  }
  const place = (offset: number): number => {
    const value = superblock.readBigUInt64LE(offset);
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
  };
  const bytes = place(40); // bytes_used
  const rootInode = superblock.readBigUInt64LE(32); // root_inode
  const [idTable, inodeTable, directoryTable, fragmentTable] = [48, 64, 72, 80].map(place) as [
    number,
    number,
    number,
    number,
  ];
  if (!(inodeTable < directoryTable && directoryTable <= fragmentTable && fragmentTable <= bytes)) {
    throw new AuditError("the root file system's tables are not in their order");
  }
  const inodes = await readMetadata(read, inodeTable, directoryTable);
  const fragmentBytes = superblock.readUInt32LE(16) * FRAGMENT_ENTRY_SIZE; // fragments
  const fragments = await readTable(read, fragmentTable, fragmentBytes, bytes);
  // The directory table ends where the first block of the fragment table begins, or where its index does.
  const firstFragmentBlock =
    fragmentBytes === 0 ? fragmentTable : await firstBlock(read, fragmentTable, bytes);
  const directories = await readMetadata(read, directoryTable, firstFragmentBlock);
  const ids = await readTable(read, idTable, superblock.readUInt16LE(26) * 4, bytes); // no_ids

  const used: Range[] = [];
  const contents = contentReader(read, fragments, blockSize, used);
  const entries = new Map<string, FoundEntry>();
  const known = new Map<number, FoundEntry>();
  const visited = new Set<number>();
  let done = 0;

  const inodeAt = async (reference: bigint, path: string) => {
    const at = inodes.position(Number(reference >> 16n), Number(reference & 0xffffn));
    const inode = parseInode(inodes.bytes, at, blockSize);
    const owner = (index: number) => (index * 4 < ids.length ? ids.readUInt32LE(index * 4) : -1);
    const { type, mode, time, number, hasXattrs } = inode;
    const before = known.get(number);
    if (before && type !== "directory") return { inode, entry: before };
    const entry: FoundEntry = {
      ...{ type, mode, uid: owner(inode.uid), gid: owner(inode.gid), time, inode: number, hasXattrs },
      ...(inode.file && { size: inode.file.size, sha256: await contents(inode.file, path) }),
      ...(inode.target !== undefined && { target: inode.target }),
      ...(inode.device !== undefined && { device: inode.device }),
    };
    known.set(number, entry);
    return { inode, entry };
  };

  const visit = async (reference: bigint, path: string, depth: number): Promise<void> => {
    signal?.throwIfAborted();
    const { inode, entry } = await inodeAt(reference, path);
    if (entries.has(path)) throw new AuditError(`the root file system holds /${path} twice`);
    entries.set(path, entry);
    if (++done > MAX_INODES) throw new AuditError(`the root file system holds more than ${MAX_INODES} files`);
    if (done % 100 === 0) onProgress(known.size, inodeCount); // a file of two names is one
    if (!inode.directory) return;
    if (depth > MAX_DEPTH || visited.has(inode.number)) {
      throw new AuditError(`the root file system's folder /${path} is part of itself`);
    }
    visited.add(inode.number);
    const { block, offset, size } = inode.directory;
    if (size <= DIRECTORY_SIZE_EXTRA) return;
    const start = directories.position(block, offset);
    const listing = directories.bytes.subarray(start, start + size - DIRECTORY_SIZE_EXTRA);
    for (const child of parseListing(listing)) {
      if (child.name === "" || child.name === "." || child.name === ".." || /[/\0]/.test(child.name)) {
        throw new AuditError(
          `the root file system's folder /${path} holds the name ${JSON.stringify(child.name)}`,
        );
      }
      await visit(child.reference, path === "" ? child.name : `${path}/${child.name}`, depth + 1);
    }
  };
  await outOfRange(visit(rootInode, "", 0));
  onProgress(known.size, inodeCount);
  if (known.size !== inodeCount) {
    throw new AuditError(
      `the root file system has ${inodeCount} inodes, and ${known.size} of them have a name`,
    );
  }
  const unreferencedBytes = uncovered(used, SUPERBLOCK_SIZE, inodeTable);
  return { entries, bytes, time: superblock.readUInt32LE(8), unreferencedBytes }; // mkfs_time
}

/** `end` exclusive. */
export type Range = Readonly<{ start: number; end: number }>;

/** How many bytes from `start` to `end` lie in none of the ranges. */
export function uncovered(ranges: readonly Range[], start: number, end: number): number {
  let bytes = 0;
  let covered = start;
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    bytes += Math.max(0, Math.min(range.start, end) - covered);
    covered = Math.max(covered, range.end);
  }
  return bytes + Math.max(0, end - covered);
}

/** Fields that point outside of what is there end in a RangeError of Buffer. */
async function outOfRange(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AuditError(`the root file system is damaged: ${error.message}`, { cause: error });
  }
}

/** Hashes files, and notes in `used` which bytes of the image it read; the fragment read last is kept, for many small files lie in one. */
function contentReader(read: ReadAt, fragments: Buffer, blockSize: number, used: Range[]) {
  let kept: { index: number; bytes: Buffer } | undefined;
  const block = async (start: number, size: number, maxBytes: number): Promise<Buffer> => {
    const length = size & (DATA_RAW - 1);
    if (length > blockSize) throw new AuditError(`the block at ${start} is larger than a block can be`);
    const stored = await read(start, length);
    used.push({ start, end: start + length });
    return (size & DATA_RAW) !== 0 ? stored : decompress(stored, maxBytes, `block at ${start}`);
  };
  return async (
    { size, start, sizes, fragment, fragmentOffset }: FileFields,
    path: string,
  ): Promise<string> => {
    const hash = createHash("sha256");
    let left = size;
    let at = start;
    for (const stored of sizes) {
      const wanted = Math.min(left, blockSize);
      const content = stored === 0 ? Buffer.alloc(wanted) : await block(at, stored, blockSize);
      if (content.length !== wanted)
        throw new AuditError(`/${path} is damaged: a block is too short or too long`);
      hash.update(content);
      at += stored & (DATA_RAW - 1);
      left -= wanted;
    }
    if (left > 0) {
      if (kept?.index !== fragment) {
        const entry = fragment * FRAGMENT_ENTRY_SIZE;
        const where = Number(fragments.readBigUInt64LE(entry));
        kept = { index: fragment, bytes: await block(where, fragments.readUInt32LE(entry + 8), blockSize) };
      }
      const content = kept.bytes.subarray(fragmentOffset, fragmentOffset + left);
      if (content.length !== left) throw new AuditError(`/${path} is damaged: its end is missing`);
      hash.update(content);
    }
    return hash.digest("hex");
  };
}

function decompress(stored: Buffer, maxBytes: number, what: string): Buffer {
  try {
    return zstdDecompressSync(stored, { maxOutputLength: maxBytes });
  } catch (error) {
    throw new AuditError(`the root file system is damaged: the ${what} does not decompress`, {
      cause: error,
    });
  }
}

type Metadata = Readonly<{ bytes: Buffer; position: (block: number, offset: number) => number }>;

/** All metadata blocks from `start` to `end`, one behind the other. */
async function readMetadata(read: ReadAt, start: number, end: number): Promise<Metadata> {
  if (!(end - start <= MAX_METADATA_BYTES))
    throw new AuditError("the root file system's metadata is too large");
  const stored = await read(start, end - start);
  const pieces: Buffer[] = [];
  const positions = new Map<number, number>();
  let size = 0;
  for (let at = 0; at + 2 <= stored.length; ) {
    const header = stored.readUInt16LE(at);
    const length = header & (METADATA_RAW - 1);
    const content = stored.subarray(at + 2, at + 2 + length);
    const raw = (header & METADATA_RAW) !== 0;
    const piece = raw ? content : decompress(content, METADATA_SIZE, `metadata at ${start + at}`);
    positions.set(at, size);
    pieces.push(piece);
    size += piece.length;
    if (size > MAX_METADATA_BYTES) throw new AuditError("the root file system's metadata is too large");
    at += 2 + length;
  }
  const position = (block: number, offset: number): number => {
    const blockStart = positions.get(block);
    if (blockStart === undefined) throw new AuditError(`no metadata block begins at ${start + block}`);
    return blockStart + offset;
  };
  return { bytes: Buffer.concat(pieces), position };
}

async function firstBlock(read: ReadAt, index: number, end: number): Promise<number> {
  const position = Number((await read(index, 8)).readBigUInt64LE(0));
  if (!(position <= end)) throw new AuditError("the root file system's tables point outside of it");
  return position;
}

/** A table of `length` bytes, whose blocks are listed at `index`. `end` of the file system. */
async function readTable(read: ReadAt, index: number, length: number, end: number): Promise<Buffer> {
  if (length > MAX_METADATA_BYTES) throw new AuditError("the root file system's metadata is too large");
  const pieces: Buffer[] = [];
  for (let done = 0, entry = index; done < length; done += METADATA_SIZE, entry += 8) {
    const start = await firstBlock(read, entry, end);
    const header = (await read(start, 2)).readUInt16LE(0);
    const stored = await read(start + 2, header & (METADATA_RAW - 1));
    const raw = (header & METADATA_RAW) !== 0;
    pieces.push(raw ? stored : decompress(stored, METADATA_SIZE, `table at ${start}`));
  }
  const bytes = Buffer.concat(pieces);
  if (bytes.length < length) throw new AuditError("the root file system's tables are cut off");
  return bytes.subarray(0, length);
}
