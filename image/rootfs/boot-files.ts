/**
 * Files of packages that do not go into the root file system: busybox for the initramfs, the boot loaders for
 * UEFI and BIOS and the Raspberry Pi's firmware for the boot partition. Called by build-rootfs.ts.
 */
import { readSyslinux, type Syslinux } from "../formats/syslinux.ts";
import type { Architecture } from "../spec.ts";
import { type PackageContent, usrMergedPath } from "./merge.ts";

/** A package no longer brings a file that booting needs. */
export class BootFileError extends Error {
  override name = "BootFileError";
}

type PackagedPath = readonly [packageName: string, path: string];

const bootLoaders: Readonly<Record<Architecture, PackagedPath>> = {
  amd64: ["systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootx64.efi"],
  arm64: ["systemd-boot-efi", "usr/lib/systemd/boot/efi/systemd-bootaa64.efi"],
};
const BUSYBOX: PackagedPath = ["busybox-static", "usr/bin/busybox"];
const SYSLINUX: PackagedPath = ["syslinux", "usr/bin/syslinux"];
const BIOS_BOOT_CODE: PackagedPath = ["syslinux-common", "usr/lib/syslinux/mbr/gptmbr.bin"];

/**
 * Boot code of Pi 3 and Zero 2 (bootcode.bin, start.elf) and of Pi 4, 400 and CM4 (start4.elf, which their boot loader
 * in flash asks for) with their companions; a Pi 5 has all of its own in flash. The other variants are for cameras,
 * debugging and machines without a screen's memory (Raspberry Pi documentation, "Boot folder contents").
 */
const FIRMWARE: ReadonlyMap<string, PackagedPath> = new Map([
  ...["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat"].map(
    (name): [string, PackagedPath] => [name, ["raspi-firmware", `usr/lib/raspi-firmware/${name}`]],
  ),
  ["LICENCE.raspi-firmware", ["raspi-firmware", "usr/share/doc/raspi-firmware/copyright"]],
]);

export type BootFiles = Readonly<{
  busybox: Uint8Array;
  bootLoader: Uint8Array;
  /** By file name on the boot partition; empty on amd64. */
  firmware: ReadonlyMap<string, Uint8Array>;
  /** undefined on arm64, which has no BIOS. */
  biosLoader: Syslinux | undefined;
}>;

/** Whether pickBootFiles takes the file at `path`, as merged into /usr, of the package. */
export function isBootFile(packageName: string, path: string, architecture: Architecture): boolean {
  const wanted = [bootLoaders[architecture], BUSYBOX, SYSLINUX, BIOS_BOOT_CODE, ...FIRMWARE.values()];
  return wanted.some(([name, place]) => name === packageName && place === path);
}

/** Throws SyslinuxError, and BootFileError naming what is missing. */
export function pickBootFiles(architecture: Architecture, packages: readonly PackageContent[]): BootFiles {
  const pick = ([packageName, path]: PackagedPath): Uint8Array => {
    const entry = packages
      .find(({ name }) => name === packageName)
      ?.entries.find((one) => one.type === "file" && usrMergedPath(one.path) === path);
    if (!entry) throw new BootFileError(`the package ${packageName} brings no /${path}`);
    return entry.content;
  };
  const firmware = new Map<string, Uint8Array>();
  if (architecture === "arm64") {
    for (const [name, place] of FIRMWARE) firmware.set(name, pick(place));
  }
  return {
    busybox: pick(BUSYBOX),
    bootLoader: pick(bootLoaders[architecture]),
    firmware,
    biosLoader: architecture === "amd64" ? readSyslinux(pick(SYSLINUX), pick(BIOS_BOOT_CODE)) : undefined,
  };
}
