/**
 * Takes out of a program what the system never loads: debugging information, the table of its own symbols, and the
 * list of sections, which stand behind the last loaded byte. Called by root-content.ts for Node, whose makers leave
 * them in (18 MB); pure. Format: System V ABI, chapters 4 and 5 (64-bit, little-endian).
 */
import { readSegments } from "./elf-segments.ts";

/** Fields of the header that speak of sections: e_shoff (8 bytes), e_shentsize, e_shnum and e_shstrndx (2 each). */
const SECTION_FIELDS = [
  [40, 48],
  [58, 64],
] as const;

/**
 * A copy that ends with the last byte that any segment has in the file, and names no sections. A stack trace of
 * machine code then knows the exported functions alone. Throws ElfError.
 */
export function stripElf(program: Uint8Array): Uint8Array {
  const elf = Buffer.from(program.buffer, program.byteOffset, program.byteLength);
  const { segments, tableEnd } = readSegments(elf);
  const end = Math.max(tableEnd, ...segments.map(({ offset, bytes }) => offset + bytes));
  const stripped = new Uint8Array(elf.subarray(0, end));
  for (const [from, to] of SECTION_FIELDS) stripped.fill(0, from, to);
  return stripped;
}
