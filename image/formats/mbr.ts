/**
 * Writes a master boot record with up to four primary partitions: the partition table of the Raspberry Pi
 * image, and the protective record of a GPT. Called by image/targets and image/formats/gpt.ts; pure.
 * Layout: UEFI Specification 2.10 §5.2.1 (legacy MBR).
 */
import type { Region } from "./regions.ts";

const SECTOR = 512;
const BOOT_CODE_MAX = 440;
const PARTITIONS_MAX = 4;
const U32_MAX = 0xffff_ffff;
const ACTIVE = 0x80;

/** Partition types used here; the values are those of `sfdisk --list-types`. */
export const MBR_TYPE = { fat32Lba: 0x0c, linux: 0x83, gptProtective: 0xee } as const;

export type MbrPartition = Readonly<{
  /** One byte, see MBR_TYPE. */
  type: number;
  firstSector: number;
  sectors: number;
  /** Marked for the BIOS to boot from. */
  active?: boolean;
}>;

export type MbrOptions = Readonly<{
  /** Size of the disk in sectors of 512 bytes; no partition may reach past it. */
  diskSectors: number;
  /** Disk signature, 32 bits. Linux names partitions by it: PARTUUID=<signature>-<number>. */
  diskId: number;
  partitions: readonly MbrPartition[];
  /** Up to 440 bytes of code for the BIOS. */
  bootCode?: Uint8Array;
}>;

/** The partitions cannot stand in a table as they are. */
export class PartitionError extends Error {
  override name = "PartitionError";
}

/** The record as regions of the disk. Throws PartitionError naming the partition that does not fit. */
export function buildMbr({ diskSectors, diskId, partitions, bootCode }: MbrOptions): Region[] {
  if (partitions.length > PARTITIONS_MAX) {
    throw new PartitionError(
      `an MBR holds at most ${PARTITIONS_MAX} primary partitions, not ${partitions.length}`,
    );
  }
  if (bootCode !== undefined && bootCode.length > BOOT_CODE_MAX) {
    throw new PartitionError(`boot code of ${bootCode.length} bytes, an MBR has room for ${BOOT_CODE_MAX}`);
  }
  checkPlaces(partitions, 1, Math.min(diskSectors - 1, U32_MAX));

  const sector = Buffer.alloc(SECTOR);
  sector.set(bootCode ?? [], 0); // BootCode
  sector.writeUInt32LE(diskId, 440); // UniqueMBRDiskSignature
  partitions.forEach(({ type, firstSector, sectors, active }, index) => {
    const at = 446 + index * 16; // PartitionRecord
    sector.writeUInt8(active ? ACTIVE : 0, at); // BootIndicator
    sector.set(chs(firstSector), at + 1); // StartingCHS
    sector.writeUInt8(type, at + 4); // OSType
    sector.set(chs(firstSector + sectors - 1), at + 5); // EndingCHS
    sector.writeUInt32LE(firstSector, at + 8); // StartingLBA
    sector.writeUInt32LE(sectors, at + 12); // SizeInLBA
  });
  sector.writeUInt16LE(0xaa55, 510); // Signature
  return [{ offset: 0, bytes: sector }];
}

/** Throws PartitionError unless all partitions lie apart, within `first` and `last` (sectors, inclusive). */
export function checkPlaces(
  partitions: readonly { firstSector: number; sectors: number }[],
  first: number,
  last: number,
): void {
  partitions.forEach(({ firstSector, sectors }, index) => {
    const end = firstSector + sectors - 1;
    const name = `partition ${index + 1} (sectors ${firstSector} to ${end})`;
    if (!Number.isSafeInteger(firstSector) || !Number.isSafeInteger(sectors) || sectors < 1) {
      throw new PartitionError(`${name}: whole numbers of sectors are needed, at least one`);
    }
    if (firstSector < first || end > last) {
      throw new PartitionError(`${name} does not lie within the usable sectors ${first} to ${last}`);
    }
    partitions.slice(0, index).forEach((other, otherIndex) => {
      if (firstSector < other.firstSector + other.sectors && other.firstSector <= end) {
        throw new PartitionError(`${name} overlaps partition ${otherIndex + 1}`);
      }
    });
  });
}

const HEADS = 255;
const SECTORS_PER_TRACK = 63;
const CYLINDERS = 1024;

/** Cylinder, head and sector of the geometry all LBA disks claim; all ones when out of its reach. */
function chs(lba: number): [number, number, number] {
  const cylinder = Math.floor(lba / (HEADS * SECTORS_PER_TRACK));
  if (cylinder >= CYLINDERS) return [0xff, 0xff, 0xff];
  const head = Math.floor(lba / SECTORS_PER_TRACK) % HEADS;
  const sector = (lba % SECTORS_PER_TRACK) + 1;
  return [head, sector | ((cylinder >> 8) << 6), cylinder & 0xff];
}
