/**
 * Makes a FAT32 file system with given files: the boot partition of every image. Called by image/targets;
 * pure. Source: Microsoft "FAT32 File System Specification" 1.03 (fatgen103); field names are its own.
 *
 * Every file and directory lies in one run of clusters, so a boot loader that must be told where its file
 * lies (syslinux) can be: see `locate`.
 */
import {
  BACKUP_BOOT_SECTOR,
  bootSector,
  FAT_COUNT,
  FatSizeError,
  FS_INFO_SECTOR,
  fsInfoSector,
  layOut,
  MEDIA_FIXED,
  ROOT_CLUSTER,
  SECTOR,
} from "./fat-geometry.ts";
import { checkLongName, FatNameError, longNameEntries, shortNameFor, type TakenNames } from "./fat-names.ts";
import type { Region } from "./regions.ts";

export { FatNameError, FatSizeError };

const ENTRY_SIZE = 32;
/** fatgen103, "FAT Directory Structure"; Linux reads no further either (FAT_MAX_DIR_ENTRIES). */
const DIRECTORY_ENTRIES_MAX = 65_536;
const END_OF_CHAIN = 0x0fff_ffff;
const FILE_BYTES_MAX = 0xffff_ffff;
const ATTRIBUTE = { volumeId: 0x08, directory: 0x10, archive: 0x20 } as const;

export type Fat32Options = Readonly<{
  /** Size of the volume in bytes, a multiple of 512; 33 MiB is about the least FAT32 allows. */
  sizeBytes: number;
  /** Volume label, 1 to 11 of A–Z, 0–9, "_", "-" and inner spaces. */
  label: string;
  /** Volume serial number, 32 bits. */
  volumeId: number;
  /** Time of every file in seconds since 1970, stored as UTC with 2 s resolution; 1980 to 2107. */
  time: number;
  /** Sector of the disk at which the partition begins, for boot loaders; 0 unless given. */
  hiddenSectors?: number;
}>;

/** Where the content of a file or directory lies: one run of clusters. */
export type FatExtent = Readonly<{
  /** 0 for an empty file, which has no cluster. */
  firstCluster: number;
  clusterCount: number;
  /** Bytes from the start of the volume; divide by 512 for the sector. */
  offset: number;
  /** Length of the content in bytes. */
  bytes: number;
}>;

export type Fat32Volume = Readonly<{
  sizeBytes: number;
  clusterBytes: number;
  /** Bytes of clusters that nothing uses. */
  freeBytes: number;
  /** All that is not zero, in ascending order, offsets from the start of the volume; first the boot sector. */
  regions: readonly Region[];
  /** Where the content of a path lies, letters as in the given files. Throws when there is no such path. */
  locate(path: string): FatExtent;
}>;

/**
 * Puts `files` on a new volume. Paths have "/" between names and none before; a path that ends in "/" is a
 * directory, which may be empty. The same files, in any order, and options give the same bytes. Throws
 * FatNameError or FatSizeError, saying what would be allowed.
 */
export function buildFat32(files: ReadonlyMap<string, Uint8Array>, options: Fat32Options): Fat32Volume {
  const { sizeBytes, label, volumeId, time, hiddenSectors = 0 } = options;
  if (!/^[A-Z0-9_-]([A-Z0-9 _-]{0,9}[A-Z0-9_-])?$/.test(label)) {
    throw new FatNameError(
      `volume label "${label}": 1 to 11 of A-Z, 0-9, "_", "-" and inner spaces are allowed`,
    );
  }
  const stamp = dosStamp(time);
  const geometry = layOut(sizeBytes);
  const { clusterBytes, clusterCount, dataOffset } = geometry;

  const nodes = placeNodes(toNodes(files), clusterBytes, dataOffset);
  const used = nodes.reduce((sum, { extent }) => sum + extent.clusterCount, 0);
  if (used > clusterCount) {
    throw new FatSizeError(
      `the files need ${used * clusterBytes} bytes, but a FAT32 volume of ${sizeBytes} bytes holds only ` +
        `${clusterCount * clusterBytes}`,
    );
  }

  const boot = bootSector(geometry, { label, volumeId, hiddenSectors });
  const info = fsInfoSector(clusterCount - used, ROOT_CLUSTER + used);
  const fat = allocationTable(nodes.map(({ extent }) => extent));
  const regions: Region[] = [
    { offset: 0, bytes: boot },
    { offset: FS_INFO_SECTOR * SECTOR, bytes: info },
    { offset: BACKUP_BOOT_SECTOR * SECTOR, bytes: boot },
    { offset: (BACKUP_BOOT_SECTOR + FS_INFO_SECTOR) * SECTOR, bytes: info },
  ];
  for (let copy = 0; copy < FAT_COUNT; copy++) {
    regions.push({ offset: (geometry.reservedSectors + copy * geometry.fatSectors) * SECTOR, bytes: fat });
  }
  for (const node of nodes) {
    if (node.extent.clusterCount === 0) continue;
    regions.push({ offset: node.extent.offset, bytes: node.content ?? directoryBytes(node, label, stamp) });
  }

  return {
    sizeBytes,
    clusterBytes,
    freeBytes: (clusterCount - used) * clusterBytes,
    regions,
    locate(path) {
      const found = nodes.find((node) => node.path === path.replace(/\/$/, ""));
      if (found === undefined) throw new Error(`the FAT volume holds no ${path}`);
      return found.extent;
    },
  };
}

type FatNode = {
  /** "" for the root. */
  path: string;
  name: string;
  /** undefined for a directory. */
  content: Uint8Array | undefined;
  parent: FatNode | undefined;
  children: Map<string, FatNode>;
  shortName: Buffer;
  longName: Buffer;
  extent: FatExtent;
};

const NOT_PLACED: FatExtent = { firstCluster: 0, clusterCount: 0, offset: 0, bytes: 0 };

function newNode(path: string, parent: FatNode | undefined, content?: Uint8Array): FatNode {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const nothing = Buffer.alloc(0);
  return {
    path,
    name,
    content,
    parent,
    children: new Map(),
    shortName: nothing,
    longName: nothing,
    extent: NOT_PLACED,
  };
}

/** The tree of directories, every node with its names. */
function toNodes(files: ReadonlyMap<string, Uint8Array>): FatNode {
  const root = newNode("", undefined);
  for (const [path, content] of files) {
    const isDirectory = path.endsWith("/");
    const names = (isDirectory ? path.slice(0, -1) : path).split("/");
    if (content.length > FILE_BYTES_MAX) throw new FatSizeError(`${path}: FAT files end below 4 GiB`);
    let directory = root;
    names.forEach((name, index) => {
      checkLongName(name, path);
      const isLast = index === names.length - 1;
      const here = names.slice(0, index + 1).join("/");
      let child = directory.children.get(name);
      if (child === undefined) {
        child = newNode(here, directory, isLast && !isDirectory ? content : undefined);
        directory.children.set(name, child);
      } else if (child.content !== undefined || (isLast && !isDirectory)) {
        throw new FatNameError(`${here} cannot be both a file and a directory`);
      }
      directory = child;
    });
  }
  nameChildren(root);
  return root;
}

/** Puts children into the order of their names and gives them their short and long names. */
function nameChildren(directory: FatNode): void {
  const children = [...directory.children.values()];
  children.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  directory.children = new Map(children.map((child) => [child.name, child]));
  const folded = new Map<string, FatNode>();
  const taken: TakenNames = { names: new Set(), tails: new Map() };
  for (const child of children) {
    const same = folded.get(child.name.toUpperCase());
    if (same !== undefined) throw new FatNameError(`${same.path} and ${child.path} are the same name on FAT`);
    folded.set(child.name.toUpperCase(), child);
    const { bytes, needsLongName } = shortNameFor(child.name, taken);
    child.shortName = bytes;
    if (needsLongName) child.longName = longNameEntries(child.name, bytes);
    nameChildren(child);
  }
}

/** Gives every node its clusters: a directory, then what it holds. Returns the nodes in this order. */
function placeNodes(root: FatNode, clusterBytes: number, dataOffset: number): FatNode[] {
  const nodes: FatNode[] = [];
  let next = ROOT_CLUSTER;
  const place = (node: FatNode): void => {
    const bytes = node.content?.length ?? directorySize(node);
    const count = Math.ceil(bytes / clusterBytes);
    if (count > 0) {
      const offset = dataOffset + (next - ROOT_CLUSTER) * clusterBytes;
      node.extent = { firstCluster: next, clusterCount: count, offset, bytes };
    }
    next += count;
    nodes.push(node);
    for (const child of node.children.values()) place(child);
  };
  place(root);
  return nodes;
}

/** Chains of all runs, up to the last used entry; the rest of the table is zero. */
function allocationTable(extents: readonly FatExtent[]): Buffer {
  const used = extents.reduce((sum, { clusterCount }) => sum + clusterCount, ROOT_CLUSTER);
  const table = Buffer.alloc(Math.ceil((used * 4) / SECTOR) * SECTOR);
  table.writeUInt32LE(0x0fff_ff00 | MEDIA_FIXED, 0);
  table.writeUInt32LE(END_OF_CHAIN, 4); // its two top bits: cleanly unmounted, no disk errors
  for (const { firstCluster, clusterCount } of extents) {
    const last = firstCluster + clusterCount - 1;
    for (let cluster = firstCluster; cluster <= last; cluster++) {
      table.writeUInt32LE(cluster === last ? END_OF_CHAIN : cluster + 1, cluster * 4);
    }
  }
  return table;
}

function directorySize(directory: FatNode): number {
  // The root holds the label, every other directory "." and "..".
  let size = directory.parent === undefined ? ENTRY_SIZE : 2 * ENTRY_SIZE;
  for (const child of directory.children.values()) size += child.longName.length + ENTRY_SIZE;
  if (size > DIRECTORY_ENTRIES_MAX * ENTRY_SIZE) {
    throw new FatSizeError(
      `${directory.path || "the root folder"} has ${directory.children.size} files: a folder on FAT has room for ` +
        `at most ${DIRECTORY_ENTRIES_MAX} entries, of which a long name takes several`,
    );
  }
  return size;
}

function directoryBytes(directory: FatNode, label: string, stamp: DosStamp): Buffer {
  const entries: Buffer[] = [];
  const { parent } = directory;
  if (parent === undefined) {
    entries.push(shortEntry(Buffer.from(label.padEnd(11), "ascii"), ATTRIBUTE.volumeId, 0, 0, stamp));
  } else {
    // fatgen103: ".." of a directory in the root has cluster 0.
    const parentCluster = parent.parent === undefined ? 0 : parent.extent.firstCluster;
    const own = directory.extent.firstCluster;
    entries.push(shortEntry(Buffer.from(".".padEnd(11)), ATTRIBUTE.directory, own, 0, stamp));
    entries.push(shortEntry(Buffer.from("..".padEnd(11)), ATTRIBUTE.directory, parentCluster, 0, stamp));
  }
  for (const { shortName, longName, content, extent } of directory.children.values()) {
    const attribute = content === undefined ? ATTRIBUTE.directory : ATTRIBUTE.archive;
    entries.push(
      longName,
      shortEntry(shortName, attribute, extent.firstCluster, content?.length ?? 0, stamp),
    );
  }
  return Buffer.concat(entries);
}

function shortEntry(name: Buffer, attribute: number, cluster: number, size: number, stamp: DosStamp): Buffer {
  const entry = Buffer.alloc(ENTRY_SIZE);
  name.copy(entry, 0); // DIR_Name
  entry.writeUInt8(attribute, 11); // DIR_Attr
  entry.writeUInt8(stamp.tenths, 13); // DIR_CrtTimeTenth
  entry.writeUInt16LE(stamp.time, 14); // DIR_CrtTime
  entry.writeUInt16LE(stamp.date, 16); // DIR_CrtDate
  entry.writeUInt16LE(stamp.date, 18); // DIR_LstAccDate
  entry.writeUInt16LE(cluster >>> 16, 20); // DIR_FstClusHI
  entry.writeUInt16LE(stamp.time, 22); // DIR_WrtTime
  entry.writeUInt16LE(stamp.date, 24); // DIR_WrtDate
  entry.writeUInt16LE(cluster & 0xffff, 26); // DIR_FstClusLO
  entry.writeUInt32LE(size, 28); // DIR_FileSize
  return entry;
}

type DosStamp = { date: number; time: number; tenths: number };

/** fatgen103, "Date and Time Formats": years from 1980 in 7 bits, seconds halved, hundredths apart. */
function dosStamp(seconds: number): DosStamp {
  const when = new Date(seconds * 1000);
  const year = when.getUTCFullYear();
  if (!(year >= 1980 && year <= 2107))
    throw new RangeError(`FAT: time ${seconds} is not between 1980 and 2107`);
  return {
    date: ((year - 1980) << 9) | ((when.getUTCMonth() + 1) << 5) | when.getUTCDate(),
    time: (when.getUTCHours() << 11) | (when.getUTCMinutes() << 5) | (when.getUTCSeconds() >> 1),
    tenths: (when.getUTCSeconds() % 2) * 100,
  };
}
