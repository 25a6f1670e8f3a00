/**
 * Finds the partitions of an image: GPT or MBR. Called by audit.ts. Layout: UEFI Specification 2.10 §5.2.1 and §5.3.
 */
import { AuditError, type ReadAt } from "./read-at.ts";

const SECTOR = 512;
const MBR = { records: 446, recordBytes: 16, count: 4, signature: 510 } as const;
const GPT_PROTECTIVE = 0xee;
/** Ours has 128 entries of 128 bytes; a bound against a header made to mislead, in bytes. */
const MAX_ENTRIES_BYTES = 1 << 20;

export type FoundPartition = Readonly<{ number: number; startBytes: number; sizeBytes: number }>;
export type FoundPartitions = Readonly<{ table: "gpt" | "mbr"; partitions: readonly FoundPartition[] }>;

/** The partitions in the order of their numbers. Throws AuditError when there is no partition table. */
export async function readPartitions(read: ReadAt): Promise<FoundPartitions> {
  const sector = await read(0, SECTOR);
  if (sector.readUInt16LE(MBR.signature) !== 0xaa55)
    throw new AuditError("there is no partition table in it");
  const records = Array.from({ length: MBR.count }, (_, index) =>
    sector.subarray(MBR.records + index * MBR.recordBytes, MBR.records + (index + 1) * MBR.recordBytes),
  );
  if (records[0]![4] === GPT_PROTECTIVE) return { table: "gpt", partitions: await readGpt(read) };
  const partitions = records.flatMap((record, index) => {
    if (record[4] === 0) return []; // OSType
    const startBytes = record.readUInt32LE(8) * SECTOR; // StartingLBA
    return [{ number: index + 1, startBytes, sizeBytes: record.readUInt32LE(12) * SECTOR }]; // SizeInLBA
  });
  return { table: "mbr", partitions };
}

async function readGpt(read: ReadAt): Promise<FoundPartition[]> {
  const header = await read(SECTOR, SECTOR);
  const count = header.readUInt32LE(80); // NumberOfPartitionEntries
  const size = header.readUInt32LE(84); // SizeOfPartitionEntry
  if (header.toString("latin1", 0, 8) !== "EFI PART" || size < 128 || count * size > MAX_ENTRIES_BYTES) {
    throw new AuditError("the header of its partition table is damaged");
  }
  const entries = await read(Number(header.readBigUInt64LE(72)) * SECTOR, count * size); // PartitionEntryLBA
  const partitions: FoundPartition[] = [];
  for (let index = 0; index < count; index++) {
    const entry = entries.subarray(index * size, (index + 1) * size);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue; // PartitionTypeGUID
    const first = Number(entry.readBigUInt64LE(32)); // StartingLBA
    const last = Number(entry.readBigUInt64LE(40)); // EndingLBA
    const sizeBytes = (last - first + 1) * SECTOR;
    partitions.push({ number: index + 1, startBytes: first * SECTOR, sizeBytes });
  }
  return partitions;
}
