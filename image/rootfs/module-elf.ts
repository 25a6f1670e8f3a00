/**
 * Reads from a kernel module what its index needs: the symbols it exports and imports, and its modinfo.
 * Called by image/rootfs/kernel.ts; pure. Formats: System V ABI, chapter 4 "Object Files" (64-bit,
 * little-endian); kernel include/linux/{export,moduleparam}.h for the sections.
 */

/** The bytes are not a kernel module for a 64-bit little-endian machine. */
export class ModuleFormatError extends Error {
  override name = "ModuleFormatError";
}

export type ModuleContent = Readonly<{
  exports: readonly string[];
  /** Undefined symbols, in the order of the symbol table. */
  imports: readonly string[];
  /** "key=value" strings of the section .modinfo, in their order. */
  info: readonly (readonly [key: string, value: string])[];
}>;

const ELF_MAGIC = 0x464c457f;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const SECTION_UNDEFINED = 0;
const CRC_PREFIX = "__crc_";
const UNDERSCORE = 0x5f;

/** `path` serves the message only. Throws ModuleFormatError. */
export function readModule(path: string, bytes: Uint8Array): ModuleContent {
  const elf = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (
    elf.length < 64 ||
    elf.readUInt32LE(0) !== ELF_MAGIC ||
    elf[4] !== CLASS_64 ||
    elf[5] !== LITTLE_ENDIAN
  ) {
    throw new ModuleFormatError(`${path} is not an uncompressed 64-bit kernel module`);
  }
  try {
    return readSections(elf);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ModuleFormatError(`${path} is damaged: it points past its end`, { cause: error });
  }
}

function readSections(elf: Buffer): ModuleContent {
  const sections = sectionsByName(elf);
  const strings = sections.get(".strtab") ?? Buffer.alloc(0);
  const symbols = sections.get(".symtab") ?? Buffer.alloc(0);
  const exports: string[] = [];
  const imports: string[] = [];
  // The first symbol is the reserved null symbol.
  for (let at = SYMBOL_SIZE; at < symbols.length; at += SYMBOL_SIZE) {
    const nameOffset = symbols.readUInt32LE(at); // st_name
    const isUndefined = symbols.readUInt16LE(at + 6) === SECTION_UNDEFINED; // st_shndx
    // Most symbols are the module's own business: of these only those that may be checksums are worth reading.
    if (!isUndefined && (strings[nameOffset] !== UNDERSCORE || strings[nameOffset + 1] !== UNDERSCORE))
      continue;
    const name = stringAt(strings, nameOffset);
    if (name.startsWith(CRC_PREFIX)) exports.push(name.slice(CRC_PREFIX.length));
    else if (isUndefined && name !== "") imports.push(name);
  }
  // A kernel without symbol versions has no checksums; then the names of its exports stand here.
  if (exports.length === 0) exports.push(...nulSeparated(sections.get("__ksymtab_strings")));
  const info = nulSeparated(sections.get(".modinfo")).map((line): [string, string] => {
    const equals = line.indexOf("=");
    return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
  });
  return { exports, imports, info };
}

function sectionsByName(elf: Buffer): Map<string, Buffer> {
  const tableOffset = Number(elf.readBigUInt64LE(40)); // e_shoff
  const count = elf.readUInt16LE(60); // e_shnum
  const header = (index: number) => {
    const at = tableOffset + index * SECTION_HEADER_SIZE;
    const offset = Number(elf.readBigUInt64LE(at + 24)); // sh_offset
    const size = Number(elf.readBigUInt64LE(at + 32)); // sh_size
    const isStored = elf.readUInt32LE(at + 4) !== 8; // sh_type: not SHT_NOBITS
    if (isStored && offset + size > elf.length) throw new RangeError("section past the end");
    return {
      nameOffset: elf.readUInt32LE(at),
      content: elf.subarray(offset, isStored ? offset + size : offset),
    };
  };
  const names = header(elf.readUInt16LE(62)).content; // e_shstrndx
  const sections = new Map<string, Buffer>();
  for (let index = 1; index < count; index++) {
    const { nameOffset, content } = header(index);
    sections.set(stringAt(names, nameOffset), content);
  }
  return sections;
}

function stringAt(strings: Buffer, offset: number): string {
  const end = strings.indexOf(0, offset);
  if (offset > strings.length || end < 0) throw new RangeError("string past the end");
  return strings.toString("latin1", offset, end);
}

function nulSeparated(section: Buffer | undefined): string[] {
  return (section?.toString("latin1") ?? "").split("\0").filter((text) => text !== "");
}
