/**
 * What a target is: how a root file system, its kernel and a relay folder lie on a disk. targets/vm.ts and
 * targets/pi.ts each make one; image/build.ts writes it to a file. Pure.
 */
import { createHash } from "node:crypto";
import { buildFat32 } from "../formats/fat32.ts";
import type { Region } from "../formats/regions.ts";
import { installSyslinux, type Syslinux, syslinuxFiles } from "../formats/syslinux.ts";
import type { Architecture } from "../spec.ts";

export type TargetName = "vm" | "pi";

/** What a boot partition is made of, besides the relay folder. */
export type BootPieces = Readonly<{
  /** The Linux image. */
  kernel: Uint8Array;
  initramfs: Uint8Array;
  /** systemd-boot for UEFI machines. */
  bootLoader: Uint8Array;
  /** Device trees by file name; none for machines that have no need of them. */
  deviceTrees: ReadonlyMap<string, Uint8Array>;
  /** The Raspberry Pi's own boot files by file name; none on amd64. */
  firmware: ReadonlyMap<string, Uint8Array>;
  /** For PCs that boot by BIOS; undefined on arm64. */
  biosLoader: Syslinux | undefined;
}>;

export type DiskContent = Readonly<{
  boot: BootPieces;
  /** Size of the squashfs in bytes. */
  rootfsBytes: number;
  /** The relay folder by path ("relay.toml", "keys/tls.pem"); put into the folder "relay". */
  relay: ReadonlyMap<string, Uint8Array>;
  /** Time of the files, in seconds since 1970. */
  time: number;
}>;

export type Disk = Readonly<{
  sizeBytes: number;
  /** Where the squashfs begins, in bytes. */
  rootfsOffset: number;
  /** All the rest that is not zero. */
  regions: readonly Region[];
}>;

export type Target = Readonly<{
  name: TargetName;
  architecture: Architecture;
  /** Throws TargetError when something does not fit its partition. */
  layOut: (content: DiskContent) => Disk;
}>;

/** The parts are too large for the places they have on the disk. */
export class TargetError extends Error {
  override name = "TargetError";
}

export const MEBIBYTE = 1 << 20;
export const SECTOR_BYTES = 512;

/** Erase blocks of flash and physical blocks of disks divide it: every partition starts on a multiple of this. */
const ALIGNMENT_BYTES = MEBIBYTE;

/**
 * Places of the two partitions that are in the image; the second root partition and the data partition are
 * made on the device (initramfs/init.sh), so that nobody has to write or download their emptiness.
 * Boot: kernel, initramfs and device trees of two versions and the firmware, about 130 MB on arm64.
 * Root: 384 MiB hold a root file system of two and a half times today's size.
 */
export const partitions = {
  boot: { startBytes: ALIGNMENT_BYTES, sizeBytes: 256 * MEBIBYTE },
  rootA: { startBytes: ALIGNMENT_BYTES + 256 * MEBIBYTE, sizeBytes: 384 * MEBIBYTE },
} as const;

/** What differs between the boot partitions of the targets. */
export type BootLayout = Readonly<{
  /** File name of the boot loader in EFI/BOOT, by which firmware finds it (UEFI 2.10 §3.5.1.1). */
  loaderName: string;
  /** Consoles of a start by UEFI, the one that programs write to last. */
  consoles: readonly string[];
  /** Further words of the kernel's command line. */
  kernelWords?: readonly string[];
  /** Further files by path. */
  files?: ReadonlyMap<string, Uint8Array | string>;
  /** Makes the partition bootable by a BIOS. */
  biosLoader?: Syslinux;
}>;

/**
 * The boot partition with kernel, initramfs, boot loader and its entry for slot a, and below "relay" the relay
 * folder; offsets count from the disk's start. Throws FatSizeError when it overflows.
 */
export function bootPartition(
  { boot, relay, time }: DiskContent,
  { loaderName, consoles, kernelWords = [], files = new Map(), biosLoader }: BootLayout,
): Region[] {
  const all = new Map<string, Uint8Array>([
    [`EFI/BOOT/${loaderName}`, boot.bootLoader],
    ["a/vmlinuz", boot.kernel],
    ["a/initrd", boot.initramfs],
  ]);
  const options = [kernelOptions(relay, consoles), ...kernelWords].join(" ");
  const biosFiles = biosLoader ? [...syslinuxFiles(biosLoader), ...biosSettings(options)] : [];
  for (const [path, content] of [...loaderFiles(options), ...biosFiles, ...files]) {
    all.set(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  }
  for (const [path, content] of relay) all.set(`relay/${path}`, content);
  const { startBytes, sizeBytes } = partitions.boot;
  const volume = buildFat32(all, {
    sizeBytes,
    label: "HOMING",
    volumeId: bootVolumeId(relay),
    time,
    hiddenSectors: startBytes / SECTOR_BYTES,
  });
  const regions = biosLoader ? installSyslinux(volume, biosLoader) : volume.regions;
  return regions.map(({ offset, bytes }) => ({ offset: offset + startBytes, bytes }));
}

/**
 * The volume id of the boot partition's FAT: by it the initramfs knows the disk it was started from, when another
 * relay's disk is there as well. Made from the relay folder, so that the same inputs give the same bytes; 32 bits
 * of a hash betray nothing of its keys.
 */
function bootVolumeId(relay: DiskContent["relay"]): number {
  const hash = createHash("sha256");
  for (const [path, content] of [...relay].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${path}:${content.length}:`).update(content);
  }
  // Never 0: that is what an empty sector holds in its place.
  return (hash.digest().readUInt32LE() | 1) >>> 0;
}

/** Place of a partition in sectors, as partition tables give it. */
export function inSectors({ startBytes, sizeBytes }: { startBytes: number; sizeBytes: number }) {
  return { firstSector: startBytes / SECTOR_BYTES, sectors: sizeBytes / SECTOR_BYTES };
}

export function checkRootfsFits(rootfsBytes: number): void {
  const { sizeBytes } = partitions.rootA;
  if (rootfsBytes > sizeBytes) {
    throw new TargetError(
      `the root file system has ${rootfsBytes} bytes, its partition only ${sizeBytes} (image/targets/target.ts)`,
    );
  }
}

/** systemd-boot: the entry of slot a, started at once (loader.conf(5), Boot Loader Specification type 1). */
function loaderFiles(options: string): [string, string][] {
  return [
    ["loader/loader.conf", "timeout 0\ndefault homing-*\neditor no\n"],
    [
      "loader/entries/homing-a.conf",
      `title Homing\nsort-key homing\nlinux /a/vmlinuz\ninitrd /a/initrd\noptions ${options}\n`,
    ],
  ];
}

/** The same for a BIOS (SYSLINUX, doc/syslinux.txt), which shows what it does on the screen and the serial port. */
function biosSettings(options: string): [string, string][] {
  const lines = [
    "SERIAL 0 115200",
    "DEFAULT homing-a",
    "PROMPT 0",
    "LABEL homing-a",
    "  LINUX /a/vmlinuz",
    "  INITRD /a/initrd",
    `  APPEND ${options}`,
  ];
  return [["syslinux.cfg", `${lines.join("\n")}\n`]];
}

/** The kernel's command line for slot a; the console named last is the one that programs write to. */
export function kernelOptions(relay: DiskContent["relay"], consoles: readonly string[]): string {
  const bootId = bootVolumeId(relay).toString(16).padStart(8, "0");
  return [
    `homing.boot=${bootId}`,
    "homing.slot=a",
    ...consoles.map((console) => `console=${console}`),
    "panic=10",
    "quiet",
  ].join(" ");
}
