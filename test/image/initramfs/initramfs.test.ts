import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { compressInitramfs, InitramfsError, packInitramfs } from "../../../image/initramfs/initramfs.ts";
import type { KernelModule } from "../../../image/rootfs/kernel.ts";

function module(...depends: string[]): KernelModule {
  return { depends, read: async () => Buffer.from("ELF") };
}

const names = [
  ...[
    "squashfs",
    "overlay",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "nvme",
    "ahci",
    "ata_piix",
  ],
  ...["hv_storvsc", "vmw_pvscsi", "xen-blkfront", "mptspi", "mptsas", "sym53c8xx"],
  ...["crc32c_generic", "crc32c-intel", "xhci-pci", "ehci-pci", "usb-storage", "uas"],
];
const kernel = {
  release: "6.0",
  modules: new Map([
    ...names.map((name): [string, KernelModule] => [`kernel/a/${name}.ko`, module()]),
    ["kernel/a/overlay.ko", module()] as const,
    ["kernel/a/ext4.ko", module("mbcache", "jbd2")] as const,
    ["kernel/a/jbd2.ko", module()] as const,
    ["kernel/a/mbcache.ko", module()] as const,
  ]),
  builtIn: new Set(["kernel/drivers/virtio/virtio_pci.ko", "kernel/drivers/hv/hv_vmbus.ko"]),
};

function order(archive: Uint8Array): string[] {
  const text = Buffer.from(archive).toString("latin1");
  return /modules\/order\0+((?:[\w-]+\.ko\n)+)/.exec(text)![1]!.trim().split("\n");
}

describe("the initramfs", () => {
  it("loads each module after those it depends on", async () => {
    const modules = order(await packInitramfs("amd64", kernel, Buffer.from("busybox"), 1));
    expect(modules.indexOf("jbd2.ko")).toBeLessThan(modules.indexOf("ext4.ko"));
    expect(modules.indexOf("mbcache.ko")).toBeLessThan(modules.indexOf("ext4.ko"));
    expect(new Set(modules).size).toBe(modules.length);
  });

  it("finds modules whose file name has a hyphen and leaves out what is built in", async () => {
    const modules = order(await packInitramfs("amd64", kernel, Buffer.from("busybox"), 1));
    expect(modules).toContain("xen-blkfront.ko");
    expect(modules.join()).not.toMatch(/virtio_pci|hv_vmbus/);
  });

  it("stops the build when a driver has gone from the kernel", async () => {
    const modules = new Map(kernel.modules);
    modules.delete("kernel/a/nvme.ko");
    const build = () => packInitramfs("amd64", { ...kernel, modules }, Buffer.from("busybox"), 1);
    await expect(build()).rejects.toThrow(InitramfsError);
    await expect(build()).rejects.toThrow(/6\.0 has no module nvme/);
  });

  it.each([0, 1, 128 << 10, (128 << 10) + 1, 1 << 20])(
    "is compressed whole, also when nothing can be saved (%i bytes)",
    async (size) => {
      for (const archive of [Buffer.alloc(size, "initramfs"), randomBytes(size)]) {
        const compressed = await compressInitramfs(archive);
        expect(zstdDecompressSync(compressed).equals(archive)).toBe(true);
        expect(compressed.length).toBeLessThan(size + (1 << 16));
      }
    },
  );

  it("has a script that a shell can read", () => {
    const script = fileURLToPath(new URL("../../../image/initramfs/init.sh", import.meta.url));
    expect(spawnSync("sh", ["-n", script], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });
});
