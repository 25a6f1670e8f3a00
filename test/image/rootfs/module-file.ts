/** Kernel modules as small as they can be, for the tests of image/rootfs. Format: System V ABI, chapter 4. */

/** `withoutVersions`: exports without checksums. */
type Sample = { exports?: string[]; imports?: string[]; info?: string[]; withoutVersions?: boolean };

/** The least ELF object that kmod takes for a module. */
export function moduleFile({
  exports = [],
  imports = [],
  info = [],
  withoutVersions = false,
}: Sample): Buffer {
  const nul = (texts: string[]) => Buffer.from(texts.map((text) => `${text}\0`).join(""), "latin1");
  const names = [...(withoutVersions ? [] : exports.map((name) => `__crc_${name}`)), ...imports];
  const strtab = nul(["", ...names]);
  const symtab = Buffer.alloc(24 * (names.length + 1));
  names.forEach((name, index) => {
    const at = 24 * (index + 1);
    symtab.writeUInt32LE(strtab.indexOf(`\0${name}\0`, 0, "latin1") + 1, at); // st_name
    symtab.writeUInt8(0x10, at + 4); // st_info: STB_GLOBAL
    symtab.writeUInt16LE(name.startsWith("__crc_") ? 0xfff1 : 0, at + 6); // st_shndx: SHN_ABS or undefined
  });
  const sections: [name: string, type: number, content: Buffer][] = [
    ["", 0, Buffer.alloc(0)],
    [".modinfo", 1, nul(info)],
    ["__ksymtab_strings", 1, nul(exports)],
    [".symtab", 2, symtab],
    [".strtab", 3, strtab],
  ];
  const sectionNames = nul([...sections.map(([name]) => name), ".shstrtab"]);
  sections.push([".shstrtab", 3, sectionNames]);

  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(1, 16); // e_type: ET_REL
  header.writeUInt16LE(62, 18); // e_machine: EM_X86_64
  header.writeUInt32LE(1, 20); // e_version
  header.writeUInt16LE(64, 52); // e_ehsize
  header.writeUInt16LE(64, 58); // e_shentsize
  header.writeUInt16LE(sections.length, 60); // e_shnum
  header.writeUInt16LE(sections.length - 1, 62); // e_shstrndx
  const headers = Buffer.alloc(64 * sections.length);
  let offset = 64;
  sections.forEach(([name, type, content], index) => {
    const at = 64 * index;
    headers.writeUInt32LE(name === "" ? 0 : sectionNames.indexOf(`\0${name}\0`, 0, "latin1") + 1, at);
    headers.writeUInt32LE(type, at + 4); // sh_type
    headers.writeBigUInt64LE(BigInt(offset), at + 24); // sh_offset
    headers.writeBigUInt64LE(BigInt(content.length), at + 32); // sh_size
    offset += content.length;
  });
  header.writeBigUInt64LE(BigInt(offset), 40); // e_shoff
  return Buffer.concat([header, ...sections.map(([, , content]) => content), headers]);
}
