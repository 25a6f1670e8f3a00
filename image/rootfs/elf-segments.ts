/**
 * The list of what the system loads of a program or library. Called by strip-elf.ts and delay-call.ts; pure.
 * Format: System V ABI, chapters 4 and 5 (64-bit, little-endian).
 */

/** The bytes are not a program for a 64-bit little-endian machine, or it is damaged. */
export class ElfError extends Error {
  override name = "ElfError";
}

/** An entry of the program header table. */
export type Segment = Readonly<{
  /** p_type, p_flags. */
  type: number;
  flags: number;
  /** p_offset, p_vaddr, p_filesz: in the file, in memory, and how many bytes of the file. */
  offset: number;
  address: number;
  bytes: number;
}>;

/** Values of p_type and p_flags. */
export const SEGMENT_LOAD = 1;
export const SEGMENT_EXECUTABLE = 1;

const ELF_MAGIC = 0x464c457f;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;

/** The segments in the order of the table, and where the table ends in the file. Throws ElfError. */
export function readSegments(elf: Buffer): { segments: readonly Segment[]; tableEnd: number } {
  if (
    elf.length < HEADER_SIZE ||
    elf.readUInt32LE(0) !== ELF_MAGIC ||
    elf[4] !== CLASS_64 ||
    elf[5] !== LITTLE_ENDIAN ||
    elf.readUInt16LE(54) !== PROGRAM_HEADER_SIZE // e_phentsize
  ) {
    throw new ElfError("not a program for a 64-bit little-endian machine");
  }
  const table = Number(elf.readBigUInt64LE(32)); // e_phoff
  const count = elf.readUInt16LE(56); // e_phnum
  const tableEnd = table + count * PROGRAM_HEADER_SIZE;
  if (count === 0 || tableEnd > elf.length)
    throw new ElfError("the program's list of segments is not in the file");
  const segments: Segment[] = [];
  for (let at = table; at < tableEnd; at += PROGRAM_HEADER_SIZE) {
    const segment = {
      type: elf.readUInt32LE(at),
      flags: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 8)),
      address: Number(elf.readBigUInt64LE(at + 16)),
      bytes: Number(elf.readBigUInt64LE(at + 32)),
    };
    if (segment.offset + segment.bytes > elf.length)
      throw new ElfError("a segment of the program ends behind the end of the file");
    segments.push(segment);
  }
  return { segments, tableEnd };
}
