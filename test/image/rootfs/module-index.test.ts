/** The index of kernel modules, judged by kmod: depmod's files and what modprobe makes of ours. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ModuleContent, readModule } from "../../../image/rootfs/module-elf.ts";
import { buildModuleIndex } from "../../../image/rootfs/module-index.ts";
import { expectSameAsDepmod, layOutKernel } from "./depmod.ts";
import { moduleFile } from "./module-file.ts";

const RELEASE = "6.12.0-test";
const hasKmod = ["/usr/sbin/depmod", "/sbin/depmod"].some(existsSync);
const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-modules-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const MODULES = new Map<string, Buffer>([
  [
    "kernel/fs/ext4/ext4.ko",
    moduleFile({
      imports: ["jbd2_start", "crc", "mbc_get", "printk"],
      info: ["alias=fs-ext4", "alias=ext3", "softdep=pre: crypto-crc32c"],
    }),
  ],
  ["kernel/fs/jbd2/jbd2.ko", moduleFile({ exports: ["jbd2_start"], imports: ["crc"] })],
  ["kernel/fs/mbcache.ko", moduleFile({ exports: ["mbc_get", "mbc_put"] })],
  [
    "kernel/lib/crc-16.ko",
    moduleFile({ exports: ["crc"], withoutVersions: true, info: ["alias=crc-any", "weakdep=mbcache"] }),
  ],
  [
    "kernel/drivers/net/virtio_net.ko",
    moduleFile({ info: ["alias=virtio:d00000001v*", "alias=pci:v00001AF4d0000100[0-5]sv*"] }),
  ],
  [
    "kernel/drivers/net/failover-net.ko",
    moduleFile({ info: ["alias=virtio:d00000001v*", "alias=virtio:d0000*"] }),
  ],
  [
    "kernel/drivers/block/loop.ko",
    moduleFile({ info: ["alias=devname:loop-control", "alias=char-major-10-237", "alias=block-major-7-*"] }),
  ],
  ["kernel/a-not-in-order.ko", moduleFile({ imports: ["mbc_put"] })],
]);
const KERNEL_FILES: Record<string, Buffer> = {
  "modules.order": Buffer.from(
    "kernel/drivers/block/loop.ko\nkernel/drivers/net/failover-net.ko\nkernel/gone.ko\nkernel/fs/ext4/ext4.ko\n" +
      "kernel/fs/jbd2/jbd2.ko\nkernel/drivers/net/virtio_net.ko\nkernel/lib/crc-16.ko\nkernel/fs/mbcache.ko\n",
  ),
  "modules.builtin": Buffer.from("kernel/drivers/virtio/virtio-pci.ko\nkernel/fs/squash.ko\n"),
  "modules.builtin.modinfo": Buffer.from(
    "virtio_pci.alias=pci:v00001AF4d*\0virtio_pci.license=GPL\0squash.alias=fs-squashfs\0",
  ),
};

const read = (modules: Iterable<readonly [string, Uint8Array]>): Map<string, ModuleContent> =>
  new Map(Array.from(modules, ([path, bytes]) => [path, readModule(path, bytes)]));

describe("buildModuleIndex", () => {
  it.skipIf(!hasKmod)("says what depmod says (needs kmod)", async () => {
    const { base, folder } = await layOutKernel(
      scratch,
      "depmod",
      RELEASE,
      new Map([...MODULES, ...Object.entries(KERNEL_FILES)]),
    );
    execFileSync("depmod", ["-b", base, RELEASE], { env: environment });
    await expectSameAsDepmod(buildModuleIndex(read(MODULES), KERNEL_FILES), folder);
  });

  it.skipIf(!hasKmod)("lets modprobe find dependencies, aliases and patterns (needs kmod)", async () => {
    const index = buildModuleIndex(read(MODULES), KERNEL_FILES);
    const { base } = await layOutKernel(
      scratch,
      "modprobe",
      RELEASE,
      new Map([...MODULES, ...Object.entries(KERNEL_FILES), ...index]),
    );
    const modprobe = (...rest: string[]) =>
      execFileSync("modprobe", ["-d", base, "-S", RELEASE, ...rest], { encoding: "utf8", env: environment })
        .trim()
        .split("\n");
    const insmod = (...paths: string[]) =>
      paths.map((path) => `insmod ${base}/lib/modules/${RELEASE}/${path} `.trim());
    const trimmed = (found: string[]) => found.map((line) => line.trim());
    expect(trimmed(modprobe("--show-depends", "fs-ext4"))).toEqual(
      insmod(
        "kernel/lib/crc-16.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/fs/mbcache.ko",
        "kernel/fs/ext4/ext4.ko",
      ),
    );
    expect(trimmed(modprobe("--show-depends", "a-not-in-order"))).toEqual(
      insmod("kernel/fs/mbcache.ko", "kernel/a-not-in-order.ko"),
    );
    // Two patterns of the first match, and it comes first in modules.order.
    expect(modprobe("-R", "virtio:d00000001v00001AF4")).toEqual([
      "failover_net",
      "failover_net",
      "virtio_net",
    ]);
    expect(modprobe("-R", "pci:v00001AF4d00001003sv0")).toEqual(["virtio_net"]);
    expect(modprobe("-R", "crc-any")).toEqual(["crc_16"]);
    expect(modprobe("-R", "symbol:mbc_put")).toEqual(["mbcache"]);
    expect(modprobe("--show-depends", "virtio-pci")).toEqual(["builtin virtio_pci"]);
    expect(modprobe("--show-depends", "fs-squashfs")).toEqual(["builtin squash"]);
  });

  it("names modules as they are installed, compressed or not", () => {
    const compressed = new Map([...MODULES].map(([path, content]) => [`${path}.xz`, content]));
    const text = Buffer.from(buildModuleIndex(read(compressed), KERNEL_FILES).get("modules.dep")!).toString();
    expect(text).toContain("kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc-16.ko.xz\n");
    expect(text.startsWith("kernel/drivers/block/loop.ko.xz:\n")).toBe(true);
  });

  it("refuses what depmod would only warn of", () => {
    const build = (modules: [string, Buffer][]) => () => buildModuleIndex(read(modules), KERNEL_FILES);
    expect(build([["a.ko", Buffer.from("not ELF")]])).toThrow(
      "a.ko is not an uncompressed 64-bit kernel module",
    );
    expect(build([["a.ko", MODULES.get("kernel/fs/mbcache.ko")!.subarray(0, 300)]])).toThrow(
      "a.ko is damaged",
    );
    const [one, two] = [
      moduleFile({ exports: ["x"], imports: ["y"] }),
      moduleFile({ exports: ["y"], imports: ["x"] }),
    ];
    expect(
      build([
        ["a.ko", one],
        ["b.ko", two],
      ]),
    ).toThrow("depend on each other in a circle: a, b");
    expect(
      build([
        ["x/a-b.ko", moduleFile({})],
        ["y/a_b.ko", moduleFile({})],
      ]),
    ).toThrow("modules of the same name");
    expect(() => buildModuleIndex(read(MODULES), {})).toThrow("the kernel's modules.order is missing");
  });
});
