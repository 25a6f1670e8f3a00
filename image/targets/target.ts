/**
 * What a target is: how a root file system, its kernel and a relay folder lie on a disk. targets/vm.ts and
 * targets/pi.ts each make one; image/build.ts writes it to a file. Pure.
 */
import { buildFat32 } from "../formats/fat32.ts";
import type { Region } from "../formats/regions.ts";
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

/**
 * The boot partition with `files` and, below "relay", the relay folder; offsets count from the disk's start.
 * Throws FatSizeError when it overflows.
 */
export function bootPartition(
  files: ReadonlyMap<string, Uint8Array | string>,
  { relay, time }: Pick<DiskContent, "relay" | "time">,
  volumeId: number,
): Region[] {
  const all = new Map<string, Uint8Array>();
  for (const [path, content] of files) {
    all.set(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
  }
  for (const [path, content] of relay) all.set(`relay/${path}`, content);
  const { startBytes, sizeBytes } = partitions.boot;
  const { regions } = buildFat32(all, {
    sizeBytes,
    label: "HOMING",
    volumeId,
    time,
    hiddenSectors: startBytes / SECTOR_BYTES,
  });
  return regions.map(({ offset, bytes }) => ({ offset: offset + startBytes, bytes }));
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
export function loaderFiles(options: string): [string, string][] {
  return [
    ["loader/loader.conf", "timeout 0\ndefault homing-*\neditor no\n"],
    [
      "loader/entries/homing-a.conf",
      `title Homing\nsort-key homing\nlinux /a/vmlinuz\ninitrd /a/initrd\noptions ${options}\n`,
    ],
  ];
}

/** The kernel's command line for slot a; the console named last is the one that programs write to. */
export function kernelOptions(consoles: readonly string[]): string {
  return ["homing.slot=a", ...consoles.map((console) => `console=${console}`), "panic=10", "quiet"].join(" ");
}
