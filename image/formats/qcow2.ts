/**
 * Disk files of QEMU, libvirt, Proxmox and UTM: qcow2, version 3 (QEMU, docs/interop/qcow2.rst), without compression,
 * encryption or snapshots. Called by image/build.ts; image/output-file.ts reads the head of one.
 */
import type { FileHandle } from "node:fs/promises";
import {
  type DiskFileOptions,
  PIECE_BYTES,
  readPieces,
  readWhole,
  roundUp,
  writeAt,
  writePieces,
} from "./virtual-disk.ts";

const MAGIC = 0x514649fb;
const HEADER_BYTES = 104;
const CLUSTER_BITS = Math.log2(PIECE_BYTES);
/** Entries of tables are 64-bit. */
const ENTRY_BYTES = 8;
const L2_ENTRIES = PIECE_BYTES / ENTRY_BYTES;
/** 1 << 4 bits a count. */
const REFCOUNT_ORDER = 4;
const COUNTS_PER_BLOCK = PIECE_BYTES / 2;
/** "The refcount is exactly one": set in whatever points to a cluster of this file alone. */
const COPIED = 1n << 63n;
/** Bits 9 to 55 of an entry are an offset; bit 62 says that the cluster is compressed. */
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;

/** Cluster numbers of what stands before the content: header, counts, then the two levels of tables. */
function plan(diskBytes: number) {
  const content = diskBytes / PIECE_BYTES;
  const l2Tables = Math.ceil(content / L2_ENTRIES);
  const l1Clusters = Math.ceil((l2Tables * ENTRY_BYTES) / PIECE_BYTES);
  // Counts for everything, their own blocks too; one round more than enough for any size.
  let blocks = 1;
  const all = () => 2 + blocks + l1Clusters + l2Tables + content;
  while (blocks * COUNTS_PER_BLOCK < all()) blocks = Math.ceil(all() / COUNTS_PER_BLOCK);
  const l1 = 2 + blocks;
  const l2 = l1 + l1Clusters;
  return { table: 1, firstBlock: 2, blocks, l1, l2, l2Tables, content: l2 + l2Tables };
}

/** Writes the whole file. Throws what the file system reports, and the signal's reason. */
export async function writeQcow2(options: DiskFileOptions): Promise<void> {
  const { diskBytes, target } = options;
  const at = plan(diskBytes);
  const offsets = await writePieces(options, at.content * PIECE_BYTES);
  const used = at.content + offsets.size;
  const table = (first: number, count: number): Buffer => {
    const bytes = Buffer.alloc(count * ENTRY_BYTES);
    for (let index = 0; index < count; index++) {
      bytes.writeBigUInt64BE(BigInt((first + index) * PIECE_BYTES), index * ENTRY_BYTES);
    }
    return bytes;
  };
  const counts = Buffer.alloc(roundUp(used * 2, PIECE_BYTES));
  for (let cluster = 0; cluster < used; cluster++) counts.writeUInt16BE(1, cluster * 2);
  const l1 = table(at.l2, at.l2Tables);
  for (let index = 0; index < at.l2Tables; index++) {
    l1.writeBigUInt64BE(l1.readBigUInt64BE(index * ENTRY_BYTES) | COPIED, index * ENTRY_BYTES);
  }
  const l2 = Buffer.alloc(at.l2Tables * PIECE_BYTES);
  for (const [piece, offset] of offsets) l2.writeBigUInt64BE(BigInt(offset) | COPIED, piece * ENTRY_BYTES);
  await writeAt(target, header(diskBytes, at), 0);
  await writeAt(target, table(at.firstBlock, at.blocks), at.table * PIECE_BYTES);
  await writeAt(target, counts, at.firstBlock * PIECE_BYTES);
  await writeAt(target, l1, at.l1 * PIECE_BYTES);
  await writeAt(target, l2, at.l2 * PIECE_BYTES);
  // Also when nothing comes behind, the file reaches to its last cluster.
  await target.truncate(used * PIECE_BYTES);
}

function header(diskBytes: number, at: ReturnType<typeof plan>): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(3, 4); // version
  bytes.writeUInt32BE(CLUSTER_BITS, 20);
  bytes.writeBigUInt64BE(BigInt(diskBytes), 24);
  bytes.writeUInt32BE(at.l2Tables, 36);
  bytes.writeBigUInt64BE(BigInt(at.l1 * PIECE_BYTES), 40);
  bytes.writeBigUInt64BE(BigInt(at.table * PIECE_BYTES), 48);
  bytes.writeUInt32BE(1, 56); // clusters of the table of counts
  bytes.writeUInt32BE(REFCOUNT_ORDER, 96);
  bytes.writeUInt32BE(HEADER_BYTES, 100);
  return bytes;
}

/** By the first bytes of a file. */
export function isQcow2(start: Buffer): boolean {
  return start.readUInt32BE(0) === MAGIC;
}

/** The first bytes that the disk shows, also after machines have written to it. Compressed clusters read as zeros. */
export async function readQcow2(file: FileHandle, length: number): Promise<Buffer> {
  const head = Buffer.alloc(HEADER_BYTES);
  await readWhole(file, head, 0);
  // 512 bytes to 2 MiB (the format's limits); other values are damage.
  const clusterBits = Math.min(21, Math.max(9, head.readUInt32BE(20)));
  const l1Entries = head.readUInt32BE(36);
  const l1Offset = Number(head.readBigUInt64BE(40) & OFFSET_MASK);
  const entriesPerTable = 2 ** (clusterBits - 3);
  const entry = async (offset: number): Promise<bigint> => {
    const bytes = Buffer.alloc(ENTRY_BYTES);
    await readWhole(file, bytes, offset);
    return bytes.readBigUInt64BE(0);
  };
  return readPieces(
    file,
    length,
    async (piece) => {
      const index = Math.floor(piece / entriesPerTable);
      if (index >= l1Entries) return undefined;
      const table = Number((await entry(l1Offset + index * ENTRY_BYTES)) & OFFSET_MASK);
      if (table === 0) return undefined;
      const found = await entry(table + (piece % entriesPerTable) * ENTRY_BYTES);
      // Bit 0: reads as zeros, whatever is at the offset.
      if ((found & COMPRESSED) !== 0n || (found & 1n) !== 0n) return undefined;
      const offset = Number(found & OFFSET_MASK);
      return offset === 0 ? undefined : offset;
    },
    2 ** clusterBits,
  );
}
