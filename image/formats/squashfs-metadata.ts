/**
 * The metadata of a squashfs image: inode table, directory table and the indexed tables, all in compressed
 * blocks of 8 KiB. Called by the squashfs writer only; pure. Structures and their names: Linux
 * fs/squashfs/squashfs_fs.h. All integers are little-endian.
 */
import { type FileData, NO_FRAGMENT } from "./squashfs-data.ts";
import type { DirectoryNode, NamedNode, NodeSet, SquashfsNode } from "./squashfs-nodes.ts";
import { compressFrameSync, type FrameOptions } from "./zstd-frame.ts";

/** SQUASHFS_METADATA_SIZE: content of one metadata block before compression. */
export const METADATA_SIZE = 8192;
/** In a metadata block's u16 header: stored uncompressed (SQUASHFS_COMPRESSED_BIT). */
const STORED_RAW = 1 << 15;
const NO_XATTR = 0xffff_ffff;
/** Entries under one directory header (SQUASHFS_DIR_COUNT). */
const DIRECTORY_HEADER_ENTRIES_MAX = 256;
/** A directory's size counts "." and "..", which are not stored, as three bytes. */
const DIRECTORY_SIZE_EXTRA = 3;
/** The basic directory inode has 16 bits for the size. */
const BASIC_DIRECTORY_SIZE_MAX = 0xffff;
const U32_LIMIT = 2 ** 32;

/** Basic inode types; directory entries always carry these, also for extended inodes. */
const BASIC_TYPE = { directory: 1, file: 2, symlink: 3, block: 4, character: 5, fifo: 6 } as const;
const EXTENDED_DIRECTORY = 8;
const EXTENDED_FILE = 9;

/** Start of the metadata block relative to its table, and the offset in the uncompressed block. */
type Position = { block: number; offset: number };

/** The on-disk reference of an inode: compressed block position << 16 | offset in the block. */
const reference = ({ block, offset }: Position): bigint => (BigInt(block) << 16n) | BigInt(offset);

/** One metadata block: u16 header, then the frame or, when that is not smaller, the raw bytes. */
export function metadataBlock(raw: Uint8Array, frame: FrameOptions): Buffer {
  const compressed = compressFrameSync(raw, frame);
  const isSmaller = compressed.length < raw.length;
  const content = isSmaller ? compressed : raw;
  const header = Buffer.alloc(2);
  header.writeUInt16LE(content.length | (isSmaller ? 0 : STORED_RAW));
  return Buffer.concat([header, content]);
}

/** A run of metadata blocks that entries are appended to; an entry may cross from one block into the next. */
function metadataStream(frame: FrameOptions) {
  const blocks: Buffer[] = [];
  let size = 0;
  const current = Buffer.alloc(METADATA_SIZE);
  let filled = 0;
  const flush = (): void => {
    if (filled === 0) return;
    const block = metadataBlock(current.subarray(0, filled), frame);
    blocks.push(block);
    size += block.length;
    filled = 0;
  };
  return {
    position: (): Position => ({ block: size, offset: filled }),
    append(bytes: Buffer): void {
      for (let at = 0; at < bytes.length; ) {
        const copied = bytes.copy(current, filled, at);
        at += copied;
        filled += copied;
        if (filled === METADATA_SIZE) flush();
      }
    },
    finish(): Buffer {
      flush();
      return Buffer.concat(blocks);
    },
  };
}

export type Metadata = Readonly<{
  inodeTable: Buffer;
  directoryTable: Buffer;
  rootInode: bigint;
  /** Reference of each inode, by number from 1: the export table's content. */
  inodeReferences: BigUint64Array;
  /** User and group ids in the order of their indices. */
  ids: readonly number[];
}>;

/**
 * Encodes all inodes and directories. Directories are written after what they hold, because their entries
 * point at the inodes of their children. `time` is every inode's modification time in seconds.
 */
export function encodeMetadata(
  { root, inodeCount }: NodeSet,
  data: ReadonlyMap<SquashfsNode, FileData>,
  time: number,
  frame: FrameOptions,
): Metadata {
  const inodes = metadataStream(frame);
  const directories = metadataStream(frame);
  const positions = new Map<SquashfsNode, Position>();
  const inodeReferences = new BigUint64Array(inodeCount);
  const idIndices = new Map<number, number>();

  const idIndex = (id: number): number => {
    const index = idIndices.get(id) ?? idIndices.size;
    idIndices.set(id, index);
    return index;
  };

  const writeInode = (node: SquashfsNode, type: number, body: Buffer): void => {
    const position = inodes.position();
    positions.set(node, position);
    inodeReferences[node.inodeNumber - 1] = reference(position);
    const header = Buffer.alloc(16);
    header.writeUInt16LE(type, 0); // inode_type
    header.writeUInt16LE(node.mode, 2); // mode
    header.writeUInt16LE(idIndex(node.uid), 4); // uid
    header.writeUInt16LE(idIndex(node.gid), 6); // guid
    header.writeUInt32LE(time, 8); // mtime
    header.writeUInt32LE(node.inodeNumber, 12); // inode_number
    inodes.append(Buffer.concat([header, body]));
  };

  const writeLeaf = (node: Exclude<SquashfsNode, DirectoryNode>): void => {
    switch (node.type) {
      case "file": {
        const { extended, body } = fileBody(node.content.length, node.linkCount, data.get(node)!);
        writeInode(node, extended ? EXTENDED_FILE : BASIC_TYPE.file, body);
        break;
      }
      case "symlink":
        writeInode(
          node,
          BASIC_TYPE.symlink,
          Buffer.concat([u32(node.linkCount, node.target.length), node.target]),
        );
        break;
      case "block":
      case "character": {
        // Linux new_encode_dev(): the minor's low byte, the major, the rest of the minor.
        const rdev = (node.minor & 0xff) | (node.major << 8) | ((node.minor & ~0xff) << 12);
        writeInode(node, BASIC_TYPE[node.type], u32(node.linkCount, rdev));
        break;
      }
      case "fifo":
        writeInode(node, BASIC_TYPE.fifo, u32(node.linkCount));
    }
  };

  const writeDirectory = (directory: DirectoryNode, parentInode: number): void => {
    for (const { node } of directory.children) {
      if (node.type === "directory") writeDirectory(node, directory.inodeNumber);
      else if (!positions.has(node)) writeLeaf(node);
    }
    const listing = encodeListing(directory.children, positions);
    const { block, offset } = directories.position();
    directories.append(listing);
    const size = listing.length + DIRECTORY_SIZE_EXTRA;
    const body = Buffer.alloc(size <= BASIC_DIRECTORY_SIZE_MAX ? 16 : 24);
    if (size <= BASIC_DIRECTORY_SIZE_MAX) {
      body.writeUInt32LE(block, 0); // start_block
      body.writeUInt32LE(directory.linkCount, 4); // nlink
      body.writeUInt16LE(size, 8); // file_size
      body.writeUInt16LE(offset, 10); // offset
      body.writeUInt32LE(parentInode, 12); // parent_inode
      writeInode(directory, BASIC_TYPE.directory, body);
    } else {
      body.writeUInt32LE(directory.linkCount, 0); // nlink
      body.writeUInt32LE(size, 4); // file_size
      body.writeUInt32LE(block, 8); // start_block
      body.writeUInt32LE(parentInode, 12); // parent_inode
      body.writeUInt16LE(0, 16); // i_count: no index, look-ups read the listing from its start
      body.writeUInt16LE(offset, 18); // offset
      body.writeUInt32LE(NO_XATTR, 20); // xattr
      writeInode(directory, EXTENDED_DIRECTORY, body);
    }
  };

  // The root's parent is, by convention, one past the last inode.
  writeDirectory(root, inodeCount + 1);
  return {
    inodeTable: inodes.finish(),
    directoryTable: directories.finish(),
    rootInode: reference(positions.get(root)!),
    inodeReferences,
    ids: [...idIndices.keys()],
  };
}

/** The type-specific part of a file's inode. Hard links, holes and 64-bit fields need the extended form. */
function fileBody(size: number, linkCount: number, data: FileData): { extended: boolean; body: Buffer } {
  const { blocksStart, blockSizes, fragment, fragmentOffset, sparse } = data;
  const sizes = u32(...blockSizes);
  const extended = linkCount > 1 || sparse > 0 || blocksStart >= U32_LIMIT || size >= U32_LIMIT;
  if (!extended) {
    return { extended, body: Buffer.concat([u32(blocksStart, fragment, fragmentOffset, size), sizes]) };
  }
  const fixed = Buffer.alloc(40);
  fixed.writeBigUInt64LE(BigInt(blocksStart), 0); // start_block
  fixed.writeBigUInt64LE(BigInt(size), 8); // file_size
  fixed.writeBigUInt64LE(BigInt(sparse), 16); // sparse
  fixed.writeUInt32LE(linkCount, 24); // nlink
  fixed.writeUInt32LE(fragment, 28); // fragment
  fixed.writeUInt32LE(fragment === NO_FRAGMENT ? 0 : fragmentOffset, 32); // offset
  fixed.writeUInt32LE(NO_XATTR, 36); // xattr
  return { extended, body: Buffer.concat([fixed, sizes]) };
}

/**
 * A directory's listing: runs of entries, each run under a header that names the inode table's block they
 * share and a base inode number from which each entry's number is a signed 16-bit difference.
 */
function encodeListing(
  children: readonly NamedNode[],
  positions: ReadonlyMap<SquashfsNode, Position>,
): Buffer {
  const parts: Buffer[] = [];
  for (let first = 0; first < children.length; ) {
    const base = children[first]!.node.inodeNumber;
    const block = positions.get(children[first]!.node)!.block;
    const run: Buffer[] = [];
    let next = first;
    for (; next < children.length && next - first < DIRECTORY_HEADER_ENTRIES_MAX; next++) {
      const { name, node } = children[next]!;
      const position = positions.get(node)!;
      const difference = node.inodeNumber - base;
      if (position.block !== block || difference < -0x8000 || difference > 0x7fff) break;
      const entry = Buffer.alloc(8);
      entry.writeUInt16LE(position.offset, 0); // offset
      entry.writeInt16LE(difference, 2); // inode_number
      entry.writeUInt16LE(BASIC_TYPE[node.type], 4); // type
      entry.writeUInt16LE(name.length - 1, 6); // size
      run.push(entry, name);
    }
    parts.push(u32(next - first - 1, block, base), ...run); // count, start_block, inode_number
    first = next;
  }
  return Buffer.concat(parts);
}

/** Unsigned 32-bit integers one after the other; negative numbers in two's complement. */
export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32LE(value >>> 0, index * 4);
  });
  return bytes;
}
