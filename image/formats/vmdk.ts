/**
 * Disk files of VMware and VirtualBox: VMDK, one file of the kind "monolithicSparse" (VMware, Virtual Disk Format 5.0).
 * Called by image/build.ts; image/output-file.ts reads the head of one.
 */
import { createHash } from "node:crypto";
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

const SECTOR_BYTES = 512;
/** "KDMV", little-endian. */
const MAGIC = 0x564d444b;
const HEADER_BYTES = SECTOR_BYTES;
const GRAIN_SECTORS = PIECE_BYTES / SECTOR_BYTES;
const ENTRY_BYTES = 4;
/** The format knows no other number. */
const GRAINS_PER_TABLE = 512;
const TABLE_SECTORS = (GRAINS_PER_TABLE * ENTRY_BYTES) / SECTOR_BYTES;
/** The text that describes the disk: from sector 1, as much room as VMware leaves for it. */
const DESCRIPTOR = { sector: 1, sectors: 20 } as const;
/** The test for a file that went through a text conversion, and a second copy of the tables. */
const FLAGS = 1 | 2;

/** Sectors of what stands before the content: the text, then twice a directory and its tables. */
function plan(diskBytes: number) {
  const tables = Math.ceil(diskBytes / PIECE_BYTES / GRAINS_PER_TABLE);
  const directorySectors = Math.ceil((tables * ENTRY_BYTES) / SECTOR_BYTES);
  const copySectors = directorySectors + tables * TABLE_SECTORS;
  const second = DESCRIPTOR.sector + DESCRIPTOR.sectors;
  const first = second + copySectors;
  const content = roundUp(first + copySectors, GRAIN_SECTORS);
  return { tables, directorySectors, directories: [second, first] as const, content };
}

/** Writes the whole file, which will have that name. Throws what the file system reports, and the signal's reason. */
export async function writeVmdk(options: DiskFileOptions & Readonly<{ name: string }>): Promise<void> {
  const { diskBytes, target, name } = options;
  const at = plan(diskBytes);
  const digest = createHash("sha256");
  const offsets = await writePieces(options, at.content * SECTOR_BYTES, (piece, bytes) => {
    digest.update(`${piece}:`).update(bytes);
  });
  const tables = Buffer.alloc(at.tables * TABLE_SECTORS * SECTOR_BYTES);
  for (const [grain, offset] of offsets) tables.writeUInt32LE(offset / SECTOR_BYTES, grain * ENTRY_BYTES);
  for (const sector of at.directories) {
    const directory = Buffer.alloc(at.directorySectors * SECTOR_BYTES);
    for (let index = 0; index < at.tables; index++) {
      directory.writeUInt32LE(sector + at.directorySectors + index * TABLE_SECTORS, index * ENTRY_BYTES);
    }
    await writeAt(target, directory, sector * SECTOR_BYTES);
    await writeAt(target, tables, (sector + at.directorySectors) * SECTOR_BYTES);
  }
  const text = Buffer.alloc(DESCRIPTOR.sectors * SECTOR_BYTES);
  text.write(descriptor(diskBytes, name, contentId(digest.digest())), "utf8");
  await writeAt(target, text, DESCRIPTOR.sector * SECTOR_BYTES);
  await writeAt(target, header(diskBytes, at), 0);
  await target.truncate(at.content * SECTOR_BYTES + offsets.size * PIECE_BYTES);
}

function header(diskBytes: number, at: ReturnType<typeof plan>): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  const sectors = (value: number, offset: number) => bytes.writeBigUInt64LE(BigInt(value), offset);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(1, 4); // version
  bytes.writeUInt32LE(FLAGS, 8);
  sectors(diskBytes / SECTOR_BYTES, 12);
  sectors(GRAIN_SECTORS, 20);
  sectors(DESCRIPTOR.sector, 28);
  sectors(DESCRIPTOR.sectors, 36);
  bytes.writeUInt32LE(GRAINS_PER_TABLE, 44);
  sectors(at.directories[0], 48);
  sectors(at.directories[1], 56);
  sectors(at.content, 64);
  bytes.write("\n \r\n", 73, "latin1");
  return bytes;
}

/** The geometry is that of old BIOSes, for disks above half a gigabyte; nothing that we boot looks at it. */
function descriptor(diskBytes: number, name: string, id: string): string {
  const heads = 16;
  const sectors = 63;
  const cylinders = Math.min(16_383, Math.floor(diskBytes / SECTOR_BYTES / heads / sectors));
  return `# Disk DescriptorFile
version=1
CID=${id}
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW ${diskBytes / SECTOR_BYTES} SPARSE "${name}"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "${cylinders}"
ddb.geometry.heads = "${heads}"
ddb.geometry.sectors = "${sectors}"
ddb.adapterType = "lsilogic"
`;
}

/** VMware wants a number that tells one state of the disk from another: eight digits, the same for the same image. */
function contentId(digest: Buffer): string {
  // ffffffff stands for "no parent", fffffffe has a meaning too.
  return digest.toString("hex", 0, 4).replace(/^f/, "e");
}

/** By the first bytes of a file. */
export function isVmdk(start: Buffer): boolean {
  return start.readUInt32LE(0) === MAGIC;
}

/** The first bytes that the disk shows, also after machines have written to it. */
export async function readVmdk(file: FileHandle, length: number): Promise<Buffer> {
  const head = Buffer.alloc(HEADER_BYTES);
  await readWhole(file, head, 0);
  const grainBytes = SECTOR_BYTES * Number(head.readBigUInt64LE(20));
  // A power of two from 4 KiB on (the format's limits; 2 MiB is ours); other values are damage.
  if (grainBytes < 4096 || grainBytes > 2 << 20 || (grainBytes & (grainBytes - 1)) !== 0)
    return Buffer.alloc(length);
  const directory = Number(head.readBigUInt64LE(56));
  const entry = async (offset: number): Promise<number> => {
    const bytes = Buffer.alloc(ENTRY_BYTES);
    await readWhole(file, bytes, offset);
    return bytes.readUInt32LE(0) * SECTOR_BYTES;
  };
  return readPieces(
    file,
    length,
    async (grain) => {
      const index = Math.floor(grain / GRAINS_PER_TABLE);
      const table = await entry(directory * SECTOR_BYTES + index * ENTRY_BYTES);
      if (table === 0) return undefined;
      const offset = await entry(table + (grain % GRAINS_PER_TABLE) * ENTRY_BYTES);
      return offset === 0 ? undefined : offset;
    },
    grainBytes,
  );
}
