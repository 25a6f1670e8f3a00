/**
 * Target "pi": an SD card or USB disk for Raspberry Pi 3, 4, 5 and Zero 2, which also boots on arm64 machines
 * with UEFI. MBR, since the boot code of older Pis knows no GPT; the boot partition holds the Pi's firmware
 * with its settings and systemd-boot. Called by image/build.ts; pure.
 * Sources: the Raspberry Pi documentation on config.txt, boot folders ("os_prefix") and "tryboot".
 */
import { readDeviceTree, writeDeviceTree } from "../formats/device-tree.ts";
import { overlayBetween } from "../formats/device-tree-overlay.ts";
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

/** What the firmware reads first; each line of it with its reason. Raspberry Pi documentation, "config.txt". */
const CONFIG = `# Settings of the Raspberry Pi's firmware for Homing.
# A Pi 3 and a Zero 2 start in 32-bit mode unless told otherwise.
arm_64bit=1
# Look for the device trees by the names that Linux itself gives them, as Debian has them.
upstream_kernel=1
# The serial port as a console; where it is shared with the processor's clock, that is kept steady.
enable_uart=1
# A screen that is plugged in later shows the console too: the picture is made once, by the firmware.
hdmi_force_hotplug=1
# The whole screen, without the margins for old televisions.
disable_overscan=1
# Kernel, device trees, initramfs, overlays and command line lie in the folder of their slot.
os_prefix=a/
kernel=vmlinuz
initramfs initrd followkernel
cmdline=cmdline.txt
[tryboot]
os_prefix=b/
[all]
`;

/** Device trees of the Raspberry Pi 5 by stepping of its processor; newer boards have D0. */
const PI_5 = { first: "bcm2712-rpi-5-b.dtb", d0: "bcm2712-d-rpi-5-b.dtb" } as const;
/** The overlay that the boot loader of a Pi 5 applies by itself on stepping D0. */
const D0_OVERLAY = "bcm2712d0.dtbo";
/** Without this file the firmware ignores os_prefix for overlays. */
const OVERLAYS_README =
  "bcm2712d0.dtbo makes the device tree of a Raspberry Pi 5 with stepping D0 of an earlier one's;\n" +
  "the boot loader knows the name of the latter alone and applies the overlay by itself.\n";

/**
 * The boot loader of a Pi 5 makes the name of the tree of the model alone ("bcm%d-rpi-%s.dtb" in its code), so it
 * never asks for the one that Linux has for D0; with the other, Linux stops at pins that are not there. What it
 * does on D0 is to apply an overlay, which is made here of the two trees. Throws DeviceTreeError.
 */
function overlays(deviceTrees: ReadonlyMap<string, Uint8Array>): [string, Uint8Array | string][] {
  const [first, d0] = [deviceTrees.get(PI_5.first), deviceTrees.get(PI_5.d0)];
  if (!first || !d0) return [];
  const overlay = overlayBetween(readDeviceTree(first), readDeviceTree(d0));
  return [
    [D0_OVERLAY, writeDeviceTree(overlay)],
    ["README", OVERLAYS_README],
  ];
}

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
  for (const [name, overlay] of overlays(boot.deviceTrees)) files.set(`a/overlays/${name}`, overlay);
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
