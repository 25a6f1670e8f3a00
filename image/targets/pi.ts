/**
 * Target "pi": an SD card or USB disk for Raspberry Pi 3, 4, 5 and Zero 2, which also boots on arm64 machines
 * with UEFI. MBR, since the boot code of older Pis knows no GPT; the boot partition holds the Pi's firmware
 * with its settings and systemd-boot. Called by image/build.ts; pure.
 * Sources: the Raspberry Pi documentation on config.txt, boot folders ("os_prefix") and "tryboot".
 */
import { buildMbr, MBR_TYPE } from "../formats/mbr.ts";
import {
  bootPartition,
  checkRootfsFits,
  type Disk,
  type DiskContent,
  inSectors,
  kernelOptions,
  MEBIBYTE,
  partitions,
  SECTOR_BYTES,
  type Target,
} from "./target.ts";

/** Fixed, so that the same inputs give the same bytes. Nothing finds a disk by it (target.ts, bootVolumeId). */
const DISK_ID = 0x686f_6d02;

export const pi: Target = { name: "pi", architecture: "arm64", layOut };

const CONFIG = `# Settings of the Raspberry Pi's firmware for Homing.
arm_64bit=1
# The names and the device trees of Linux itself, as Debian has them.
upstream_kernel=1
enable_uart=1
disable_overscan=1
# Kernel, device trees, initramfs and command line lie in the folder of their slot.
os_prefix=a/
kernel=vmlinuz
initramfs initrd followkernel
cmdline=cmdline.txt
[tryboot]
os_prefix=b/
`;

function layOut(content: DiskContent): Disk {
  const { boot, relay, rootfsBytes } = content;
  checkRootfsFits(rootfsBytes);
  const { rootA } = partitions;
  const files = new Map<string, Uint8Array | string>([
    ...boot.firmware,
    ["config.txt", CONFIG],
    // The screen last: it is what the owner of a Pi has. The firmware puts the right port for serial0.
    ["a/cmdline.txt", `${kernelOptions(relay, ["serial0,115200", "tty1"])}\n`],
  ]);
  for (const [name, tree] of boot.deviceTrees) files.set(`a/${name}`, tree);
  const table = buildMbr({
    diskSectors: (rootA.startBytes + rootA.sizeBytes) / SECTOR_BYTES,
    diskId: DISK_ID,
    partitions: [
      {
        type: MBR_TYPE.fat32Lba,
        ...inSectors(partitions.boot),
        active: true,
      },
      {
        type: MBR_TYPE.linux,
        ...inSectors(rootA),
      },
    ],
  });
  return {
    // The file ends with the root file system, before the end of its partition: a card is larger anyway, and
    // nobody has to write the rest.
    sizeBytes: rootA.startBytes + Math.ceil(rootfsBytes / MEBIBYTE) * MEBIBYTE,
    rootfsOffset: rootA.startBytes,
    regions: [
      ...table,
      ...bootPartition(content, {
        loaderName: "BOOTAA64.EFI",
        consoles: ["tty0", "ttyAMA0,115200"],
        files,
      }),
    ],
  };
}
