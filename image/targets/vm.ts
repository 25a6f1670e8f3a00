/**
 * Target "vm": a disk for x86-64 virtual machines that boot by UEFI or BIOS. GPT; the boot partition is the EFI
 * system partition with systemd-boot, and with SYSLINUX for a BIOS. Called by image/build.ts; pure.
 */
import { buildGpt, GPT_ATTRIBUTE, GPT_TYPE } from "../formats/gpt.ts";
import {
  bootPartition,
  checkRootfsFits,
  type Disk,
  type DiskContent,
  inSectors,
  MEBIBYTE,
  partitions,
  SECTOR_BYTES,
  type Target,
} from "./target.ts";

/** Fixed, so that the same inputs give the same bytes. Nothing finds a disk by them (target.ts, bootVolumeId). */
const DISK_GUID = "686f6d69-6e67-4000-8000-766d00000001";
const BOOT_GUID = "686f6d69-6e67-4000-8000-766d00000011";
const ROOT_A_GUID = "686f6d69-6e67-4000-8000-766d00000012";

/** Behind the last partition: the backup of the table. */
const END_BYTES = MEBIBYTE;

/**
 * The kernel gives its timer a moment to tick and panics if it does not, "IO-APIC + timer doesn't work!": on a busy computer
 * an emulated machine misses that moment. Under KVM, VMware and Hyper-V it leaves that out by itself
 * (admin-guide/kernel-parameters).
 */
const TIMER_UNCHECKED = "no_timer_check";

export const vm: Target = { name: "vm", architecture: "amd64", layOut };

function layOut(content: DiskContent): Disk {
  checkRootfsFits(content.rootfsBytes);
  const { biosLoader } = content.boot;
  const { rootA } = partitions;
  const sizeBytes = rootA.startBytes + rootA.sizeBytes + END_BYTES;
  const table = buildGpt({
    diskSectors: sizeBytes / SECTOR_BYTES,
    diskGuid: DISK_GUID,
    ...(biosLoader ? { bootCode: biosLoader.mbr } : {}),
    partitions: [
      {
        type: GPT_TYPE.efiSystem,
        guid: BOOT_GUID,
        name: "homing-boot",
        attributes: GPT_ATTRIBUTE.legacyBiosBootable,
        ...inSectors(partitions.boot),
      },
      {
        type: GPT_TYPE.rootAmd64,
        guid: ROOT_A_GUID,
        name: "root-a",
        ...inSectors(rootA),
      },
    ],
  });
  return {
    sizeBytes,
    rootfsOffset: rootA.startBytes,
    regions: [
      ...table,
      // The serial console last: it is the one that providers and `./homing vm` record.
      ...bootPartition(content, {
        loaderName: "BOOTX64.EFI",
        consoles: ["tty0", "ttyS0,115200"],
        kernelWords: [TIMER_UNCHECKED],
        ...(biosLoader ? { biosLoader } : {}),
      }),
    ],
  };
}
