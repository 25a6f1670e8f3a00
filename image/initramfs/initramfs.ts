/**
 * The initramfs: busybox, the kernel modules that lead to the disk, and the script init.sh. Called by
 * image/rootfs/build-rootfs.ts. A cpio archive compressed by zstd, which all kernels of the targets take (CONFIG_RD_ZSTD).
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { buildCpio } from "../formats/cpio.ts";
import type { Kernel } from "../rootfs/kernel.ts";
import { setDirectory, setFile, setSymlink, type Tree } from "../rootfs/tree.ts";
import type { Architecture } from "../spec.ts";

/** The kernel has no driver of that name any more, neither as a module nor built in. */
export class InitramfsError extends Error {
  override name = "InitramfsError";
}

/** File systems of the boot: the root, the overlay over it, the data partition, the boot partition with its names. */
const FILE_SYSTEMS = ["squashfs", "overlay", "ext4", "vfat", "nls_cp437", "nls_ascii"];

/** What leads to a disk and its data, in the order in which it is loaded; dependencies come before by themselves. */
const DISK_DRIVERS: Readonly<Record<Architecture, readonly string[]>> = {
  amd64: [
    ...["crc32c_generic", "crc32c_intel"], // ext4 asks for either by an alias, for which there is no modprobe here
    ...["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod"], // QEMU/KVM and most providers
    ...["nvme", "ahci", "ata_piix"], // others, VirtualBox
    ...["hv_vmbus", "hv_storvsc", "vmw_pvscsi", "xen_blkfront"], // Hyper-V, VMware, Xen
    ...["mptspi", "mptsas", "sym53c8xx"], // LSI Logic, as VMware and VirtualBox offer it
    ...["xhci_pci", "ehci_pci", "usb_storage", "uas"], // a disk on USB
  ],
  arm64: [
    ...["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "sd_mod", "nvme"], // arm64 virtual machines
    ...["fixed", "gpio_regulator", "gpio_brcmstb"], // supplies of the card slots of Pi 4 and 5
    ...["pinctrl_brcmstb", "pinctrl_brcmstb_bcm2712"], // Pi 5
    ...["bcm2835", "sdhci_iproc", "sdhci_brcmstb"], // card slots: Pi 3 and Zero 2, Pi 4, Pi 5
    ...["irq_bcm2712_mip", "rp1_pci", "clk_rp1", "pinctrl_rp1"], // Pi 5's peripherals
    ...["reset_raspberrypi", "xhci_pci", "xhci_plat_hcd", "usb_storage", "uas"], // a disk on USB
    ...["leds_gpio", "ledtrig_timer"], // the light of a Pi, which tells of trouble with the disk
  ],
};

/** Level 19 takes four seconds of a processor for these few megabytes and saves reading time on a slow card. */
const ZSTD_LEVEL = 19;
/** More than what cannot be compressed grows by: three bytes for every 128 KiB, header and checksum (RFC 8878 §3.1). */
const ZSTD_GROWTH_BYTES = 1 << 16;

const script = initramfsScript(readFileSync(new URL("init.sh", import.meta.url)));

/** The archive, not yet compressed. `time` is the time of everything in it, in seconds. Throws InitramfsError. */
export async function packInitramfs(
  architecture: Architecture,
  kernel: Pick<Kernel, "modules" | "builtIn" | "release">,
  busybox: Uint8Array,
  time: number,
): Promise<Uint8Array> {
  const tree: Tree = new Map();
  for (const path of ["bin", "dev", "proc", "sys", "tools", "overlay", "data", "root"])
    setDirectory(tree, path);
  tree.set("dev/console", { type: "character", mode: 0o600, uid: 0, gid: 0, major: 5, minor: 1 });
  setFile(tree, "bin/busybox", busybox, { mode: 0o755 });
  setSymlink(tree, "bin/sh", "busybox");
  setFile(tree, "init", script, { mode: 0o755 });
  const modules = modulesInOrder([...FILE_SYSTEMS, ...DISK_DRIVERS[architecture]], kernel);
  for (const path of modules) {
    setFile(tree, `modules/${basename(path)}`, await kernel.modules.get(path)!.read());
  }
  setFile(tree, "modules/order", modules.map((path) => `${basename(path)}\n`).join(""));
  return Buffer.concat(buildCpio(tree, { time }));
}

/** The archive as a machine reads it; compressed in a thread of its own, whatever this one does in the meantime. */
export function compressInitramfs(archive: Uint8Array): Promise<Uint8Array> {
  return promisify(zstdCompress)(archive, {
    // With both, all is one step, in which the thread never waits for this one.
    pledgedSrcSize: archive.length,
    chunkSize: archive.length + ZSTD_GROWTH_BYTES,
    params: {
      [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}

/** Paths of the modules of these names and of all they depend on, each after its dependencies. */
function modulesInOrder(
  names: readonly string[],
  { modules, builtIn, release }: Pick<Kernel, "modules" | "builtIn" | "release">,
): string[] {
  const paths = new Map([...modules.keys()].map((path) => [moduleName(path), path]));
  const builtInNames = new Set([...builtIn].map(moduleName));
  const ordered = new Set<string>();
  const add = (name: string): void => {
    const path = paths.get(name);
    if (path === undefined) {
      if (builtInNames.has(name)) return;
      throw new InitramfsError(
        `the kernel ${release} has no module ${name}; image/initramfs/initramfs.ts wants it`,
      );
    }
    if (ordered.has(path)) return;
    for (const dependency of modules.get(path)!.depends) add(dependency);
    ordered.add(path);
  };
  for (const name of names) add(name);
  return [...ordered];
}

/** A carriage return would be part of every word at a line's end; editors and git may bring them on Windows. */
export function initramfsScript(source: Buffer): Buffer {
  return Buffer.from(source.toString("latin1").replaceAll("\r\n", "\n"), "latin1");
}

/** "kernel/fs/ext4/ext4.ko" → "ext4"; a module's name has no "-". */
function moduleName(path: string): string {
  return basename(path, ".ko").replaceAll("-", "_");
}
