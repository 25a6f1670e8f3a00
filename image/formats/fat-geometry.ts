/**
 * The sizes of a FAT32 volume and the sectors that state them. Called by image/formats/fat32.ts; pure.
 * Source: Microsoft "FAT32 File System Specification" 1.03 (fatgen103); field names are its own.
 *
 * Sectors of 512 bytes: boot sector (0), FSInfo (1), copies of both (6 and 7), two FATs, then the clusters.
 */
export const SECTOR = 512;
export const FAT_COUNT = 2;
export const FS_INFO_SECTOR = 1;
export const BACKUP_BOOT_SECTOR = 6;
/** Clusters count from 2; the first holds the root directory. */
export const ROOT_CLUSTER = 2;
export const MEDIA_FIXED = 0xf8;

const RESERVED_SECTORS_MIN = 32;
/** With fewer clusters every driver takes the volume for FAT16. */
const CLUSTERS_MIN = 65_525;
/** Data begins on a multiple of 4 KiB of the volume, the page of flash and of modern disks. */
const DATA_ALIGNMENT_SECTORS = 8;
/** Sectors per cluster by the size of the volume, as fatgen103 has Windows format it. */
const CLUSTER_TABLE = [
  { maxBytes: 260 * 2 ** 20, sectors: 1 },
  { maxBytes: 8 * 2 ** 30, sectors: 8 },
  { maxBytes: 16 * 2 ** 30, sectors: 16 },
  { maxBytes: 32 * 2 ** 30, sectors: 32 },
  { maxBytes: (2 ** 32 - 1) * SECTOR, sectors: 64 },
] as const;

/** The volume is too small for FAT32 or for its files, or a size is out of range. */
export class FatSizeError extends Error {
  override name = "FatSizeError";
}

export type Geometry = Readonly<{
  totalSectors: number;
  sectorsPerCluster: number;
  clusterBytes: number;
  clusterCount: number;
  reservedSectors: number;
  /** Sectors of one FAT. */
  fatSectors: number;
  /** Bytes from the start of the volume to the first cluster. */
  dataOffset: number;
}>;

/** Throws FatSizeError when a volume of `sizeBytes` cannot be FAT32. */
export function layOut(sizeBytes: number): Geometry {
  const sectorsPerCluster = CLUSTER_TABLE.find(({ maxBytes }) => sizeBytes <= maxBytes)?.sectors;
  if (!Number.isInteger(sizeBytes / SECTOR) || sizeBytes <= 0 || sectorsPerCluster === undefined) {
    throw new FatSizeError(
      `a FAT32 volume cannot have ${sizeBytes} bytes: a multiple of 512 below 2 TiB is needed`,
    );
  }
  const totalSectors = sizeBytes / SECTOR;
  // fatgen103, "FAT Type Determination": at most a few sectors more than needed.
  const entriesPerFatSector = SECTOR / 4;
  const fatSectors = Math.ceil(
    (totalSectors - RESERVED_SECTORS_MIN) / ((entriesPerFatSector * 2 * sectorsPerCluster + FAT_COUNT) / 2),
  );
  const fatsEnd = RESERVED_SECTORS_MIN + FAT_COUNT * fatSectors;
  const dataSector = Math.ceil(fatsEnd / DATA_ALIGNMENT_SECTORS) * DATA_ALIGNMENT_SECTORS;
  const reservedSectors = RESERVED_SECTORS_MIN + dataSector - fatsEnd;
  const clusterCount = Math.floor((totalSectors - dataSector) / sectorsPerCluster);
  if (clusterCount < CLUSTERS_MIN) {
    throw new FatSizeError(`a volume of ${sizeBytes} bytes is too small for FAT32: 33 MiB are the least`);
  }
  return {
    totalSectors,
    sectorsPerCluster,
    clusterBytes: sectorsPerCluster * SECTOR,
    clusterCount,
    reservedSectors,
    fatSectors,
    dataOffset: dataSector * SECTOR,
  };
}

/** INT 18h (the BIOS tries the next device), then halt for ever. */
const NO_BOOT_CODE = [0xcd, 0x18, 0xf4, 0xeb, 0xfd];
const BOOT_CODE_OFFSET = 90;
const DRIVE_FIXED = 0x80;
const EXTENDED_BOOT_SIGNATURE = 0x29;

export type VolumeIdentity = Readonly<{ label: string; volumeId: number; hiddenSectors: number }>;

/** The boot sector with its BIOS parameter block. */
export function bootSector(geometry: Geometry, { label, volumeId, hiddenSectors }: VolumeIdentity): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector.set([0xeb, BOOT_CODE_OFFSET - 2, 0x90], 0); // BS_jmpBoot
  sector.write("MSWIN4.1", 3, "ascii"); // BS_OEMName: the one fatgen103 recommends
  sector.writeUInt16LE(SECTOR, 11); // BPB_BytsPerSec
  sector.writeUInt8(geometry.sectorsPerCluster, 13); // BPB_SecPerClus
  sector.writeUInt16LE(geometry.reservedSectors, 14); // BPB_RsvdSecCnt
  sector.writeUInt8(FAT_COUNT, 16); // BPB_NumFATs
  sector.writeUInt8(MEDIA_FIXED, 21); // BPB_Media
  sector.writeUInt16LE(63, 24); // BPB_SecPerTrk: the geometry of all LBA disks
  sector.writeUInt16LE(255, 26); // BPB_NumHeads
  sector.writeUInt32LE(hiddenSectors, 28); // BPB_HiddSec
  sector.writeUInt32LE(geometry.totalSectors, 32); // BPB_TotSec32
  sector.writeUInt32LE(geometry.fatSectors, 36); // BPB_FATSz32
  sector.writeUInt32LE(ROOT_CLUSTER, 44); // BPB_RootClus
  sector.writeUInt16LE(FS_INFO_SECTOR, 48); // BPB_FSInfo
  sector.writeUInt16LE(BACKUP_BOOT_SECTOR, 50); // BPB_BkBootSec
  sector.writeUInt8(DRIVE_FIXED, 64); // BS_DrvNum
  sector.writeUInt8(EXTENDED_BOOT_SIGNATURE, 66); // BS_BootSig
  sector.writeUInt32LE(volumeId, 67); // BS_VolID
  sector.write(label.padEnd(11), 71, "ascii"); // BS_VolLab
  sector.write("FAT32   ", 82, "ascii"); // BS_FilSysType
  sector.set(NO_BOOT_CODE, BOOT_CODE_OFFSET);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** The FSInfo sector: what is free and where to look for it. */
export function fsInfoSector(freeClusters: number, nextFree: number): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector.writeUInt32LE(0x41615252, 0); // FSI_LeadSig
  sector.writeUInt32LE(0x61417272, 484); // FSI_StrucSig
  sector.writeUInt32LE(freeClusters, 488); // FSI_Free_Count
  sector.writeUInt32LE(nextFree, 492); // FSI_Nxt_Free
  sector.writeUInt32LE(0xaa550000, 508); // FSI_TrailSig
  return sector;
}
