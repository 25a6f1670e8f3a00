/**
 * The inodes and folder listings of a squashfs image, field by field. Called by squashfs-reader.ts; pure. Structures
 * and their names: Linux fs/squashfs/squashfs_fs.h. All integers are little-endian.
 */
import { AuditError } from "./read-at.ts";

const NO_FRAGMENT = 0xffff_ffff;
const NO_XATTR = 0xffff_ffff;

/** Where the content of a file lies. */
export type FileFields = {
  size: number;
  start: number;
  sizes: number[];
  fragment: number;
  fragmentOffset: number;
};
export type Inode = {
  type: InodeType;
  mode: number;
  uid: number;
  gid: number;
  time: number;
  number: number;
  hasXattrs: boolean;
  file?: FileFields;
  directory?: { block: number; offset: number; size: number };
  target?: string;
  device?: number;
};

const TYPES = ["directory", "file", "symlink", "block", "character", "fifo", "socket"] as const;

export type InodeType = (typeof TYPES)[number];

/**
 * The inode at `at` of the inode table. Basic inodes have the types 1 to 7, extended ones 8 to 14. Throws AuditError or
 * RangeError when it is damaged.
 */
export function parseInode(table: Buffer, at: number, blockSize: number): Inode {
  const kind = table.readUInt16LE(at); // inode_type
  const type = TYPES[(kind - 1) % TYPES.length];
  if (type === undefined || kind > 2 * TYPES.length) throw new AuditError(`the inode at ${at} is of no type`);
  const isExtended = kind > TYPES.length;
  const common = {
    type,
    mode: table.readUInt16LE(at + 2) & 0o7777,
    uid: table.readUInt16LE(at + 4),
    gid: table.readUInt16LE(at + 6),
    time: table.readUInt32LE(at + 8),
    number: table.readUInt32LE(at + 12),
    hasXattrs: false,
  };
  const body = at + 16;
  const u32 = (offset: number) => table.readUInt32LE(body + offset);
  const u16 = (offset: number) => table.readUInt16LE(body + offset);
  const xattrsAt = (offset: number) => isExtended && u32(offset) !== NO_XATTR;
  switch (type) {
    case "directory":
      return isExtended
        ? {
            ...common,
            directory: { size: u32(4), block: u32(8), offset: u16(18) },
            hasXattrs: xattrsAt(20),
          }
        : { ...common, directory: { block: u32(0), size: u16(8), offset: u16(10) } };
    case "file": {
      const u64 = (offset: number) => Number(table.readBigUInt64LE(body + offset));
      const fields = isExtended
        ? { start: u64(0), size: u64(8), fragment: u32(28), fragmentOffset: u32(32) }
        : { start: u32(0), fragment: u32(4), fragmentOffset: u32(8), size: u32(12) };
      const blocks =
        fields.fragment === NO_FRAGMENT
          ? Math.ceil(fields.size / blockSize)
          : Math.floor(fields.size / blockSize);
      const sizesAt = body + (isExtended ? 40 : 16);
      if (!(blocks <= (table.length - sizesAt) / 4)) throw new AuditError(`the inode at ${at} is damaged`);
      const sizes = Array.from({ length: blocks }, (_, index) => table.readUInt32LE(sizesAt + index * 4));
      return { ...common, file: { ...fields, sizes }, hasXattrs: xattrsAt(36) };
    }
    case "symlink": {
      const length = u32(4);
      const target = table.subarray(body + 8, body + 8 + length);
      return {
        ...common,
        target: target.toString("utf8"),
        hasXattrs: isExtended && u32(8 + length) !== NO_XATTR,
      };
    }
    case "block":
    case "character":
      return { ...common, device: u32(4), hasXattrs: xattrsAt(8) };
    default:
      return { ...common, hasXattrs: xattrsAt(4) };
  }
}

/** The names of a folder with the references of their inodes. Throws RangeError when it is cut off. */
export function* parseListing(listing: Buffer): Generator<{ name: string; reference: bigint }> {
  for (let at = 0; at < listing.length; ) {
    const count = listing.readUInt32LE(at) + 1; // count
    const block = BigInt(listing.readUInt32LE(at + 4)); // start_block
    at += 12;
    for (let index = 0; index < count; index++) {
      const offset = BigInt(listing.readUInt16LE(at)); // offset
      const end = at + 8 + listing.readUInt16LE(at + 6) + 1; // size
      if (end > listing.length) throw new RangeError("a folder's listing is cut off");
      yield { name: listing.toString("utf8", at + 8, end), reference: (block << 16n) | offset };
      at = end;
    }
  }
}
