/**
 * Makes a FAT32 volume bootable by a PC's BIOS: does to it what `syslinux --install` does, without running it.
 * Called by image/targets/vm.ts; pure. Source: SYSLINUX 6.04, libinstaller/syslxint.h (the patch area) and
 * libinstaller/syslxmod.c (what is written into it).
 *
 * The BIOS starts the code in the boot sector, which reads the first sector of ldlinux.sys by a number patched
 * into it; that one holds the list of all other sectors of ldlinux.sys, which then knows FAT by itself.
 */

import { BACKUP_BOOT_SECTOR, SECTOR } from "./fat-geometry.ts";
import { type Fat32Volume, FatSizeError } from "./fat32.ts";
import type { Region } from "./regions.ts";

/** The parts of SYSLINUX, as Debian's packages bring them. */
export type Syslinux = Readonly<{
  /** Code for the first 440 bytes of a disk with a GPT: starts the partition that is marked for it (gptmbr.bin). */
  mbr: Uint8Array;
  /** Code of the boot sector, 512 bytes. */
  bootSector: Uint8Array;
  /** The loader, a multiple of 512 bytes. */
  ldlinuxSys: Uint8Array;
  /** Its core module, which it loads as a file. */
  ldlinuxC32: Uint8Array;
}>;

/** The parts are not those of a SYSLINUX that this file knows. */
export class SyslinuxError extends Error {
  override name = "SyslinuxError";
}

/** File names in the root of the volume. */
export const LDLINUX_SYS = "ldlinux.sys";
export const LDLINUX_C32 = "ldlinux.c32";

/** LDLINUX_MAGIC, on a multiple of 4 in the first sector. */
const MAGIC = 0x3eb202fe;
/** Auxiliary data vector: two sectors behind the loader that a running SYSLINUX may write its settings into. */
const ADV_SECTORS = 2;
const ADV_HEAD = [0x5a2d2fa5, 0xa3041767];
const ADV_TAIL = 0xdd28bf64;
/** Sectors of an extent: less than the 64 KiB of a segment of memory. */
const EXTENT_SECTORS_MAX = 127;

/** struct patch_area: offsets from the magic number. */
const PATCH = { dataSectors: 8, advSectors: 10, dwords: 12, checksum: 16, extended: 22 } as const;
/** struct ext_patch_area: u16 offsets into ldlinux.sys or the boot sector, by their place in it. */
const EXTENDED = { adv: 0, extents: 5, extentCount: 6, sector1Low: 7, sector1High: 8 } as const;
/** struct syslinux_extent: first sector (u64) and number of sectors (u16). */
const EXTENT_BYTES = 10;

/** What of a boot sector is SYSLINUX's: the jump and its name, and the code behind the BIOS parameter block. */
const BOOT_HEAD = { start: 0, end: 11 } as const;
const BOOT_CODE = { start: 90, end: 510 } as const;

/** The files that a volume must hold for installSyslinux. The loader's content is only as long as it must be. */
export function syslinuxFiles({ ldlinuxSys, ldlinuxC32 }: Syslinux): [path: string, content: Uint8Array][] {
  return [
    [LDLINUX_SYS, new Uint8Array(ldlinuxSys.length + ADV_SECTORS * SECTOR)],
    [LDLINUX_C32, ldlinuxC32],
  ];
}

/**
 * The regions of a volume that holds syslinuxFiles, with boot sector and loader in place. Throws SyslinuxError, and
 * FatSizeError when the volume has another loader's size.
 */
export function installSyslinux(volume: Fat32Volume, syslinux: Syslinux): Region[] {
  const { bootSector, ldlinuxSys } = syslinux;
  const place = volume.locate(LDLINUX_SYS);
  if (place.bytes !== ldlinuxSys.length + ADV_SECTORS * SECTOR) {
    throw new FatSizeError(`${LDLINUX_SYS} has ${place.bytes} bytes on the volume`);
  }
  if (bootSector.length !== SECTOR || ldlinuxSys.length % SECTOR !== 0) {
    throw new SyslinuxError("boot sector or loader do not have whole sectors");
  }
  const firstSector = place.offset / SECTOR;
  const loader = Buffer.from(ldlinuxSys);
  const code = Buffer.from(bootSector);
  patch(loader, code, firstSector);

  return volume.regions.map((region): Region => {
    if (region.offset === 0 || region.offset === BACKUP_BOOT_SECTOR * SECTOR) {
      const bytes = Buffer.from(region.bytes);
      for (const { start, end } of [BOOT_HEAD, BOOT_CODE]) code.copy(bytes, start, start, end);
      return { offset: region.offset, bytes };
    }
    if (region.offset !== place.offset) return region;
    return { offset: region.offset, bytes: Buffer.concat([loader, emptyAdv(), emptyAdv()]) };
  });
}

/** Writes into loader and boot code where the loader lies: in one run of sectors from `firstSector` of the volume. */
function patch(loader: Buffer, code: Buffer, firstSector: number): void {
  const area = findPatchArea(loader);
  const extended = loader.readUInt16LE(area + PATCH.extended);
  const field = (index: number): number => loader.readUInt16LE(extended + index * 2);
  const sectors = loader.length / SECTOR;

  code.writeUInt32LE(firstSector, field(EXTENDED.sector1Low));
  code.writeUInt32LE(0, field(EXTENDED.sector1High));

  loader.writeUInt16LE(sectors, area + PATCH.dataSectors);
  loader.writeUInt16LE(ADV_SECTORS, area + PATCH.advSectors);
  loader.writeUInt32LE(loader.length / 4, area + PATCH.dwords);

  const extents = splitExtents(firstSector + 1, sectors - 1);
  const at = field(EXTENDED.extents);
  const room = field(EXTENDED.extentCount);
  if (extents.length > room) throw new SyslinuxError(`${LDLINUX_SYS} has no room for its list of sectors`);
  loader.fill(0, at, at + room * EXTENT_BYTES);
  extents.forEach(({ sector, count }, index) => {
    loader.writeBigUInt64LE(BigInt(sector), at + index * EXTENT_BYTES);
    loader.writeUInt16LE(count, at + index * EXTENT_BYTES + 8);
  });
  for (let copy = 0; copy < ADV_SECTORS; copy++) {
    loader.writeBigUInt64LE(BigInt(firstSector + sectors + copy), field(EXTENDED.adv) + copy * 8);
  }

  // All words of the loader together give the magic number.
  loader.writeUInt32LE(0, area + PATCH.checksum);
  let checksum = MAGIC;
  for (let offset = 0; offset < loader.length; offset += 4) {
    checksum = (checksum - loader.readUInt32LE(offset)) >>> 0;
  }
  loader.writeUInt32LE(checksum, area + PATCH.checksum);
}

function findPatchArea(loader: Buffer): number {
  for (let offset = 0; offset < SECTOR; offset += 4) {
    if (loader.readUInt32LE(offset) === MAGIC) return offset;
  }
  throw new SyslinuxError(`${LDLINUX_SYS} has no patch area: this is no SYSLINUX 6`);
}

/** A run of sectors in stretches that one call of the BIOS reads. */
function splitExtents(sector: number, count: number): { sector: number; count: number }[] {
  const extents: { sector: number; count: number }[] = [];
  for (let done = 0; done < count; done += EXTENT_SECTORS_MAX) {
    extents.push({ sector: sector + done, count: Math.min(count - done, EXTENT_SECTORS_MAX) });
  }
  return extents;
}

function emptyAdv(): Buffer {
  const sector = Buffer.alloc(SECTOR);
  for (const [index, word] of ADV_HEAD.entries()) sector.writeUInt32LE(word, index * 4);
  sector.writeUInt32LE(ADV_TAIL, SECTOR - 4);
  return sector;
}

/** Start of an ELF file for 32-bit little-endian machines, as ldlinux.c32 is one. */
const ELF32 = Buffer.from("\x7fELF\x01\x01\x01", "latin1");
/** Offsets in its header (Elf32_Ehdr): e_shoff, e_shentsize, e_shnum. The section headers end the file. */
const ELF32_HEADER = { sectionsAt: 32, sectionBytes: 46, sectionCount: 48, end: 52 } as const;

/**
 * Takes boot sector, loader and core module out of the program syslinux(1), which carries them one after the other:
 * Debian has the first two nowhere else, and the third must be of the same build. Throws SyslinuxError.
 */
export function readSyslinux(program: Uint8Array, mbr: Uint8Array): Syslinux {
  const bytes = Buffer.from(program.buffer, program.byteOffset, program.byteLength);
  const bootSectorAt = bytes.indexOf(Buffer.from("\xeb\x58\x90SYSLINUX", "latin1"));
  const loaderAt = bytes.indexOf("\r\nSYSLINUX 6.", 0, "latin1");
  const moduleAt = bytes.indexOf(ELF32, Math.max(loaderAt, 0));
  if (bootSectorAt < 0 || loaderAt !== bootSectorAt + SECTOR || moduleAt < 0) {
    throw new SyslinuxError("the program syslinux does not carry its parts where version 6.04 has them");
  }
  const module = bytes.subarray(moduleAt);
  const moduleBytes =
    module.length < ELF32_HEADER.end
      ? Number.POSITIVE_INFINITY
      : module.readUInt32LE(ELF32_HEADER.sectionsAt) +
        module.readUInt16LE(ELF32_HEADER.sectionBytes) * module.readUInt16LE(ELF32_HEADER.sectionCount);
  if (moduleBytes > module.length) {
    throw new SyslinuxError(`the ${LDLINUX_C32} in the program syslinux is cut off`);
  }
  return {
    mbr,
    bootSector: bytes.subarray(bootSectorAt, loaderAt),
    ldlinuxSys: bytes.subarray(loaderAt, moduleAt),
    ldlinuxC32: module.subarray(0, moduleBytes),
  };
}
