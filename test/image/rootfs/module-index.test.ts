/** The index of kernel modules, judged by kmod: depmod's files and what modprobe makes of ours. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildModuleIndex } from "../../../image/rootfs/module-index.ts";
import { expectSameAsDepmod, layOutKernel } from "./depmod.ts";

const RELEASE = "6.12.0-test";
const hasKmod = ["/usr/sbin/depmod", "/sbin/depmod"].some(existsSync);
const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-modules-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

type Sample = { exports?: string[]; imports?: string[]; info?: string[]; withoutVersions?: boolean };

/** The least ELF object that kmod takes for a module. */
function module_({ exports = [], imports = [], info = [], withoutVersions = false }: Sample): Buffer {
  const nul = (texts: string[]) => Buffer.from(texts.map((text) => `${text}\0`).join(""), "latin1");
  const names = [...(withoutVersions ? [] : exports.map((name) => `__crc_${name}`)), ...imports];
  const strtab = nul(["", ...names]);
  const symtab = Buffer.alloc(24 * (names.length + 1));
  names.forEach((name, index) => {
    const at = 24 * (index + 1);
    symtab.writeUInt32LE(strtab.indexOf(`\0${name}\0`, 0, "latin1") + 1, at); // st_name
    symtab.writeUInt8(0x10, at + 4); // st_info: STB_GLOBAL
    symtab.writeUInt16LE(name.startsWith("__crc_") ? 0xfff1 : 0, at + 6); // st_shndx: SHN_ABS or undefined
  });
  const sections: [name: string, type: number, content: Buffer][] = [
    ["", 0, Buffer.alloc(0)],
    [".modinfo", 1, nul(info)],
    ["__ksymtab_strings", 1, nul(exports)],
    [".symtab", 2, symtab],
    [".strtab", 3, strtab],
  ];
  const sectionNames = nul([...sections.map(([name]) => name), ".shstrtab"]);
  sections.push([".shstrtab", 3, sectionNames]);

  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(1, 16); // e_type: ET_REL
  header.writeUInt16LE(62, 18); // e_machine: EM_X86_64
  header.writeUInt32LE(1, 20); // e_version
  header.writeUInt16LE(64, 52); // e_ehsize
  header.writeUInt16LE(64, 58); // e_shentsize
  header.writeUInt16LE(sections.length, 60); // e_shnum
  header.writeUInt16LE(sections.length - 1, 62); // e_shstrndx
  const headers = Buffer.alloc(64 * sections.length);
  let offset = 64;
  sections.forEach(([name, type, content], index) => {
    const at = 64 * index;
    headers.writeUInt32LE(name === "" ? 0 : sectionNames.indexOf(`\0${name}\0`, 0, "latin1") + 1, at);
    headers.writeUInt32LE(type, at + 4); // sh_type
    headers.writeBigUInt64LE(BigInt(offset), at + 24); // sh_offset
    headers.writeBigUInt64LE(BigInt(content.length), at + 32); // sh_size
    offset += content.length;
  });
  header.writeBigUInt64LE(BigInt(offset), 40); // e_shoff
  return Buffer.concat([header, ...sections.map(([, , content]) => content), headers]);
}

const MODULES = new Map<string, Buffer>([
  [
    "kernel/fs/ext4/ext4.ko",
    module_({
      imports: ["jbd2_start", "crc", "mbc_get", "printk"],
      info: ["alias=fs-ext4", "alias=ext3", "softdep=pre: crypto-crc32c"],
    }),
  ],
  ["kernel/fs/jbd2/jbd2.ko", module_({ exports: ["jbd2_start"], imports: ["crc"] })],
  ["kernel/fs/mbcache.ko", module_({ exports: ["mbc_get", "mbc_put"] })],
  [
    "kernel/lib/crc-16.ko",
    module_({ exports: ["crc"], withoutVersions: true, info: ["alias=crc-any", "weakdep=mbcache"] }),
  ],
  [
    "kernel/drivers/net/virtio_net.ko",
    module_({ info: ["alias=virtio:d00000001v*", "alias=pci:v00001AF4d0000100[0-5]sv*"] }),
  ],
  [
    "kernel/drivers/net/failover-net.ko",
    module_({ info: ["alias=virtio:d00000001v*", "alias=virtio:d0000*"] }),
  ],
  [
    "kernel/drivers/block/loop.ko",
    module_({ info: ["alias=devname:loop-control", "alias=char-major-10-237", "alias=block-major-7-*"] }),
  ],
  ["kernel/a-not-in-order.ko", module_({ imports: ["mbc_put"] })],
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

describe("buildModuleIndex", () => {
  it.skipIf(!hasKmod)("says what depmod says (needs kmod)", async () => {
    const { base, folder } = await layOutKernel(
      scratch,
      "depmod",
      RELEASE,
      new Map([...MODULES, ...Object.entries(KERNEL_FILES)]),
    );
    execFileSync("depmod", ["-b", base, RELEASE], { env: environment });
    await expectSameAsDepmod(buildModuleIndex(MODULES, KERNEL_FILES), folder);
  });

  it.skipIf(!hasKmod)("lets modprobe find dependencies, aliases and patterns (needs kmod)", async () => {
    const index = buildModuleIndex(MODULES, KERNEL_FILES);
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
    const text = Buffer.from(buildModuleIndex(compressed, KERNEL_FILES).get("modules.dep")!).toString();
    expect(text).toContain("kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc-16.ko.xz\n");
    expect(text.startsWith("kernel/drivers/block/loop.ko.xz:\n")).toBe(true);
  });

  it("refuses what depmod would only warn of", () => {
    const build = (modules: [string, Buffer][]) => () => buildModuleIndex(new Map(modules), KERNEL_FILES);
    expect(build([["a.ko", Buffer.from("not ELF")]])).toThrow(
      "a.ko is not an uncompressed 64-bit kernel module",
    );
    expect(build([["a.ko", MODULES.get("kernel/fs/mbcache.ko")!.subarray(0, 300)]])).toThrow(
      "a.ko is damaged",
    );
    const [one, two] = [
      module_({ exports: ["x"], imports: ["y"] }),
      module_({ exports: ["y"], imports: ["x"] }),
    ];
    expect(
      build([
        ["a.ko", one],
        ["b.ko", two],
      ]),
    ).toThrow("depend on each other in a circle: a, b");
    expect(
      build([
        ["x/a-b.ko", module_({})],
        ["y/a_b.ko", module_({})],
      ]),
    ).toThrow("modules of the same name");
    expect(() => buildModuleIndex(MODULES, {})).toThrow("the kernel's modules.order is missing");
  });
});
