/**
 * Lists the files of a FAT32 file system with their contents: the boot partition of an image, which may have been
 * written by somebody else. Called by audit.ts. Source: Microsoft "FAT32 File System Specification" 1.03
 * (fatgen103); field names are its own.
 */
import { AuditError, type ReadAt } from "./read-at.ts";

const SECTOR = 512;
const ENTRY_SIZE = 32;
const UNITS_PER_ENTRY = 13;
/** Where the characters of a long name stand in an entry of it. */
const UNIT_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] as const;
const ATTRIBUTE = { volumeId: 0x08, directory: 0x10, longName: 0x0f } as const;
const DELETED = 0xe5;
/** Windows keeps in DIR_NTRes whether base and extension of a short name are lower case (Linux does likewise). */
const LOWER_CASE = { base: 0x08, extension: 0x10 } as const;
const CLUSTER_MASK = 0x0fff_ffff;
const END_OF_CHAIN = 0x0fff_fff8;

/** Our boot partition has 256 MiB; bounds against a table made to mislead. In bytes, and in files and folders. */
const MAX_VOLUME_BYTES = 1 << 30;
const MAX_FILES = 20_000;

type Volume = Readonly<{
  read: ReadAt;
  /** The first file allocation table. */
  fat: Buffer;
  clusterBytes: number;
  clusterCount: number;
  dataOffset: number;
}>;

/**
 * Contents by path, "/" between names; a folder is "name/" with no content. `read` begins at the boot sector. Throws
 * AuditError for anything that is no sound FAT32: a loop, a chain that ends too early, a file twice.
 */
export async function readFat(read: ReadAt): Promise<Map<string, Buffer>> {
  const boot = await read(0, SECTOR);
  const sectorsPerCluster = boot.readUInt8(13); // BPB_SecPerClus
  const reservedSectors = boot.readUInt16LE(14); // BPB_RsvdSecCnt
  const fatCount = boot.readUInt8(16); // BPB_NumFATs
  const totalSectors = boot.readUInt32LE(32); // BPB_TotSec32
  const fatSectors = boot.readUInt32LE(36); // BPB_FATSz32
  const dataSector = reservedSectors + fatCount * fatSectors;
  if (
    boot.readUInt16LE(510) !== 0xaa55 ||
    boot.readUInt16LE(11) !== SECTOR || // BPB_BytsPerSec
    boot.readUInt16LE(22) !== 0 || // BPB_FATSz16
    sectorsPerCluster === 0 ||
    fatSectors === 0 ||
    totalSectors * SECTOR > MAX_VOLUME_BYTES ||
    dataSector >= totalSectors
  ) {
    throw new AuditError("the boot partition holds no FAT32 file system of at most 1 GiB");
  }
  const clusterCount = Math.floor((totalSectors - dataSector) / sectorsPerCluster);
  if (fatSectors * SECTOR < (clusterCount + 2) * 4) {
    throw new AuditError("the boot partition's file allocation table is too short");
  }
  const volume: Volume = {
    read,
    fat: await read(reservedSectors * SECTOR, (clusterCount + 2) * 4),
    clusterBytes: sectorsPerCluster * SECTOR,
    clusterCount,
    dataOffset: dataSector * SECTOR,
  };
  const files = new Map<string, Buffer>();
  const taken = new Set<number>();
  await readDirectory(volume, boot.readUInt32LE(44), "", files, taken); // BPB_RootClus
  return files;
}

async function readDirectory(
  volume: Volume,
  firstCluster: number,
  prefix: string,
  files: Map<string, Buffer>,
  taken: Set<number>,
): Promise<void> {
  const where = prefix === "" ? "the boot partition's root folder" : `the boot partition's ${prefix}`;
  const bytes = await readChain(volume, firstCluster, where, taken);
  let longName = "";
  for (let at = 0; at + ENTRY_SIZE <= bytes.length; at += ENTRY_SIZE) {
    const entry = bytes.subarray(at, at + ENTRY_SIZE);
    if (entry[0] === 0) break;
    const attributes = entry.readUInt8(11); // DIR_Attr
    if (entry[0] === DELETED) {
      longName = "";
      continue;
    }
    if ((attributes & 0x3f) === ATTRIBUTE.longName) {
      longName = longNamePart(entry) + longName;
      continue;
    }
    const short = shortName(entry);
    const name = longName === "" ? short : longName;
    longName = "";
    if ((attributes & ATTRIBUTE.volumeId) !== 0 || short === "." || short === "..") continue;
    const path = prefix + name;
    const isDirectory = (attributes & ATTRIBUTE.directory) !== 0;
    const key = isDirectory ? `${path}/` : path;
    if (files.has(path) || files.has(`${path}/`)) {
      throw new AuditError(`the boot partition holds ${path} twice`);
    }
    if (files.size >= MAX_FILES) {
      throw new AuditError(`the boot partition holds more than ${MAX_FILES} files`);
    }
    const cluster = (entry.readUInt16LE(20) << 16) | entry.readUInt16LE(26); // DIR_FstClusHI, DIR_FstClusLO
    if (isDirectory) {
      files.set(key, Buffer.alloc(0));
      await readDirectory(volume, cluster, key, files, taken);
    } else {
      const size = entry.readUInt32LE(28); // DIR_FileSize
      const content = size === 0 ? Buffer.alloc(0) : await readChain(volume, cluster, path, taken, size);
      files.set(key, content);
    }
  }
}

/** The clusters from `first` on, or as many as `size` bytes take. No cluster belongs to two chains. */
async function readChain(
  { read, fat, clusterBytes, clusterCount, dataOffset }: Volume,
  first: number,
  what: string,
  taken: Set<number>,
  size?: number,
): Promise<Buffer> {
  const runs: { first: number; count: number }[] = [];
  let found = 0;
  for (let cluster = first; cluster < END_OF_CHAIN; cluster = fat.readUInt32LE(cluster * 4) & CLUSTER_MASK) {
    if (cluster < 2 || cluster >= clusterCount + 2 || taken.has(cluster)) {
      throw new AuditError(`${what} is damaged: its clusters are not a chain of its own`);
    }
    taken.add(cluster);
    found++;
    const run = runs.at(-1);
    if (run && run.first + run.count === cluster) run.count++;
    else runs.push({ first: cluster, count: 1 });
  }
  const needed = size === undefined ? found : Math.ceil(size / clusterBytes);
  if (found !== needed) throw new AuditError(`${what} is damaged: ${found} clusters instead of ${needed}`);
  const pieces = await Promise.all(
    runs.map((run) => read(dataOffset + (run.first - 2) * clusterBytes, run.count * clusterBytes)),
  );
  return Buffer.concat(pieces).subarray(0, size);
}

function longNamePart(entry: Buffer): string {
  const units = UNIT_OFFSETS.slice(0, UNITS_PER_ENTRY).map((offset) => entry.readUInt16LE(offset));
  const end = units.indexOf(0);
  return String.fromCharCode(...(end < 0 ? units : units.slice(0, end)));
}

function shortName(entry: Buffer): string {
  const flags = entry.readUInt8(12); // DIR_NTRes
  const part = (from: number, to: number, isLower: boolean) => {
    const text = entry.toString("latin1", from, to).trimEnd();
    return isLower ? text.toLowerCase() : text;
  };
  const base = part(0, 8, (flags & LOWER_CASE.base) !== 0);
  const extension = part(8, 11, (flags & LOWER_CASE.extension) !== 0);
  return extension === "" ? base : `${base}.${extension}`;
}
