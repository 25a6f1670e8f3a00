/**
 * Takes out of a program what the system never loads: debugging information, the table of its own symbols, and the
 * list of sections, which stand behind the last loaded byte. Called by root-content.ts for Node, whose makers leave
 * them in (18 MB); pure. Format: System V ABI, chapters 4 and 5 (64-bit, little-endian).
 */

/** The bytes are not a program for a 64-bit little-endian machine, or it is damaged. */
export class StripError extends Error {
  override name = "StripError";
}

const ELF_MAGIC = 0x464c457f;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
/** Fields of the header that speak of sections: e_shoff (8 bytes), e_shentsize, e_shnum and e_shstrndx (2 each). */
const SECTION_FIELDS = [
  [40, 48],
  [58, 64],
] as const;

/**
 * A copy that ends with the last byte that any segment has in the file, and names no sections. A stack trace of
 * machine code then knows the exported functions alone. Throws StripError.
 */
export function stripElf(program: Uint8Array): Uint8Array {
  const elf = Buffer.from(program.buffer, program.byteOffset, program.byteLength);
  if (
    elf.length < HEADER_SIZE ||
    elf.readUInt32LE(0) !== ELF_MAGIC ||
    elf[4] !== CLASS_64 ||
    elf[5] !== LITTLE_ENDIAN ||
    elf.readUInt16LE(54) !== PROGRAM_HEADER_SIZE // e_phentsize
  ) {
    throw new StripError("not a program for a 64-bit little-endian machine");
  }
  const table = Number(elf.readBigUInt64LE(32)); // e_phoff
  const count = elf.readUInt16LE(56); // e_phnum
  let end = table + count * PROGRAM_HEADER_SIZE;
  if (count === 0 || end > elf.length)
    throw new StripError("the program's list of segments is not in the file");
  for (let at = table; at < table + count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
    // p_offset and p_filesz
    end = Math.max(end, Number(elf.readBigUInt64LE(at + 8)) + Number(elf.readBigUInt64LE(at + 32)));
  }
  if (end > elf.length) throw new StripError("a segment of the program ends behind the end of the file");
  const stripped = new Uint8Array(elf.subarray(0, end));
  for (const [from, to] of SECTION_FIELDS) stripped.fill(0, from, to);
  return stripped;
}
