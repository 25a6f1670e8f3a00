/**
 * Writes a GUID partition table: protective MBR, header and entries at the start of the disk, and their
 * backup at its end. Called by image/targets; pure. Layout: UEFI Specification 2.10 §5.3.
 */
import { crc32 } from "node:zlib";
import { buildMbr, checkPlaces, MBR_TYPE, PartitionError } from "./mbr.ts";
import type { Region } from "./regions.ts";

export { PartitionError };

const SECTOR = 512;
const HEADER_SIZE = 92;
const REVISION = 0x0001_0000;
const ENTRY_COUNT = 128;
const ENTRY_SIZE = 128;
const ENTRIES_SECTORS = (ENTRY_COUNT * ENTRY_SIZE) / SECTOR;
/** First sector a partition may use: after the MBR, the header and the entries. */
export const GPT_FIRST_USABLE_SECTOR = 2 + ENTRIES_SECTORS;
/** Sectors at the end of the disk that no partition may use: the backup entries and header. */
export const GPT_RESERVED_END_SECTORS = ENTRIES_SECTORS + 1;
const NAME_UNITS_MAX = 36;
const U32_MAX = 0xffff_ffff;

/** Type GUIDs: UEFI 2.10 §5.3.3 and the Discoverable Partitions Specification of systemd. */
export const GPT_TYPE = {
  efiSystem: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  linuxData: "0fc63daf-8483-4772-8e79-3d69d8477de4",
  rootAmd64: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
  rootArm64: "b921b045-1df0-41c3-af44-4c6f280d3fae",
} as const;

/** Bits of `attributes`: UEFI 2.10 §5.3.3, table 5-8, and the Discoverable Partitions Specification. */
export const GPT_ATTRIBUTE = {
  required: 1n << 0n,
  legacyBiosBootable: 1n << 2n,
  readOnly: 1n << 60n,
  noAutomaticMount: 1n << 63n,
} as const;

export type GptPartition = Readonly<{
  /** GUID of the type, see GPT_TYPE. */
  type: string;
  /** GUID of this partition: Linux names it PARTUUID=<guid>. */
  guid: string;
  /** Up to 36 UTF-16 units; Linux names it PARTLABEL=<name>. */
  name: string;
  firstSector: number;
  sectors: number;
  /** 64 bits, see GPT_ATTRIBUTE; 0 unless given. */
  attributes?: bigint;
}>;

export type GptOptions = Readonly<{
  /** Size of the disk in sectors of 512 bytes; the backup lies in the last 33. */
  diskSectors: number;
  diskGuid: string;
  partitions: readonly GptPartition[];
  /** Up to 440 bytes of code in the protective MBR, for a BIOS. */
  bootCode?: Uint8Array;
}>;

/**
 * The table as regions of the disk, in ascending order. Throws PartitionError naming the partition that
 * does not fit, or the GUID that is none.
 */
export function buildGpt({ diskSectors, diskGuid, partitions, bootCode }: GptOptions): Region[] {
  const lastUsable = diskSectors - GPT_RESERVED_END_SECTORS - 1;
  if (partitions.length > ENTRY_COUNT) throw new PartitionError(`a GPT here holds ${ENTRY_COUNT} partitions`);
  checkPlaces(partitions, GPT_FIRST_USABLE_SECTOR, lastUsable);
  const guids = [diskGuid, ...partitions.map(({ guid }) => guid)].map((guid) => guid.toLowerCase());
  if (new Set(guids).size !== guids.length) throw new PartitionError("two GUIDs of the disk are the same");

  const entries = Buffer.alloc(ENTRY_COUNT * ENTRY_SIZE);
  partitions.forEach(({ type, guid, name, firstSector, sectors, attributes = 0n }, index) => {
    if (name.length > NAME_UNITS_MAX) {
      throw new PartitionError(`partition name "${name}": at most ${NAME_UNITS_MAX} characters are allowed`);
    }
    const at = index * ENTRY_SIZE;
    entries.set(guidBytes(type), at); // PartitionTypeGUID
    entries.set(guidBytes(guid), at + 16); // UniquePartitionGUID
    entries.writeBigUInt64LE(BigInt(firstSector), at + 32); // StartingLBA
    entries.writeBigUInt64LE(BigInt(firstSector + sectors - 1), at + 40); // EndingLBA
    entries.writeBigUInt64LE(attributes, at + 48); // Attributes
    entries.write(name, at + 56, "utf16le"); // PartitionName
  });

  const header = (own: number, other: number, entriesAt: number): Buffer => {
    const bytes = Buffer.alloc(SECTOR);
    bytes.write("EFI PART", 0, "ascii"); // Signature
    bytes.writeUInt32LE(REVISION, 8); // Revision
    bytes.writeUInt32LE(HEADER_SIZE, 12); // HeaderSize
    bytes.writeBigUInt64LE(BigInt(own), 24); // MyLBA
    bytes.writeBigUInt64LE(BigInt(other), 32); // AlternateLBA
    bytes.writeBigUInt64LE(BigInt(GPT_FIRST_USABLE_SECTOR), 40); // FirstUsableLBA
    bytes.writeBigUInt64LE(BigInt(lastUsable), 48); // LastUsableLBA
    bytes.set(guidBytes(diskGuid), 56); // DiskGUID
    bytes.writeBigUInt64LE(BigInt(entriesAt), 72); // PartitionEntryLBA
    bytes.writeUInt32LE(ENTRY_COUNT, 80); // NumberOfPartitionEntries
    bytes.writeUInt32LE(ENTRY_SIZE, 84); // SizeOfPartitionEntry
    bytes.writeUInt32LE(crc32(entries), 88); // PartitionEntryArrayCRC32
    bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_SIZE)), 16); // HeaderCRC32, itself counted as zero
    return bytes;
  };

  // UEFI 2.10 §5.2.3: one record over the whole disk, as far as 32 bits reach.
  const protective = buildMbr({
    diskSectors,
    diskId: 0,
    partitions: [
      { type: MBR_TYPE.gptProtective, firstSector: 1, sectors: Math.min(diskSectors - 1, U32_MAX) },
    ],
    ...(bootCode && { bootCode }),
  });
  const last = diskSectors - 1;
  const backupEntries = last - ENTRIES_SECTORS;
  return [
    ...protective,
    { offset: SECTOR, bytes: header(1, last, 2) },
    { offset: 2 * SECTOR, bytes: entries },
    { offset: backupEntries * SECTOR, bytes: entries },
    { offset: last * SECTOR, bytes: header(last, 1, backupEntries) },
  ];
}

/** Appendix A of the UEFI specification: the first three fields little-endian, the rest as written. */
function guidBytes(guid: string): Buffer {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(guid)) {
    throw new PartitionError(`"${guid}" is not a GUID`);
  }
  const bytes = Buffer.from(guid.replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
