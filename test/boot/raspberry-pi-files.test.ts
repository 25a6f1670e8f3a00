/**
 * Every file that the firmware of each Raspberry Pi asks for is on the boot partition of the pi image, in the order of
 * its documented boot flow ("Raspberry Pi boot modes", "config.txt"). Which names it makes for device trees is looked up
 * in the firmware itself: start.elf and start4.elf hold "bcm%d-rpi-%s.dtb" and the models to put there; the boot loader
 * in flash of a Pi 5 (pieeprom 2026-08-12, unpacked) has the same list with "5-b", and nothing for stepping D0.
 * Compute Module 5 and Pi 500 are not in it: Linux has no device trees of theirs.
 */
import { open } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFat } from "../../image/audit/fat-reader.ts";
import { readPartitions } from "../../image/audit/partition-reader.ts";
import { readFileAt, readFrom } from "../../image/audit/read-at.ts";
import { type DeviceNode, readDeviceTree } from "../../image/formats/device-tree.ts";
import { buildTestImage, type TestImage } from "../support/qemu.ts";

/** The first stage that reads the card, and what it reads: bootcode.bin asks for start.elf, flash for start4.elf. */
const bootCode = {
  card: ["bootcode.bin", "start.elf", "fixup.dat"],
  flash4: ["start4.elf", "fixup4.dat"],
  flash5: [],
} as const;

const models = [
  { model: "Raspberry Pi 3 B", code: "card", chip: 2837, name: "3-b" },
  { model: "Raspberry Pi 3 B+", code: "card", chip: 2837, name: "3-b-plus" },
  { model: "Raspberry Pi 3 A+", code: "card", chip: 2837, name: "3-a-plus" },
  { model: "Compute Module 3", code: "card", chip: 2837, name: "cm3-io3" },
  { model: "Raspberry Pi Zero 2 W", code: "card", chip: 2837, name: "zero-2-w" },
  { model: "Raspberry Pi 4 B", code: "flash4", chip: 2711, name: "4-b" },
  { model: "Raspberry Pi 400", code: "flash4", chip: 2711, name: "400" },
  { model: "Compute Module 4", code: "flash4", chip: 2711, name: "cm4-io" },
  { model: "Raspberry Pi 5", code: "flash5", chip: 2712, name: "5-b" },
] as const;

describe("the boot partition of the pi image", () => {
  let image: TestImage;
  /** By name in lower case: FAT knows no other. */
  const files = new Map<string, Buffer>();
  const file = (path: string) => files.get(path.toLowerCase()) ?? expect.fail(`there is no ${path}`);
  const text = (path: string) => file(path).toString();

  beforeAll(async () => {
    image = await buildTestImage("pi", "_files.test");
    await using disk = await open(image.image.path);
    const read = readFileAt(disk);
    const { partitions } = await readPartitions(read);
    const all = await readFat(readFrom(read, partitions[0]!.startBytes));
    for (const [path, content] of all) files.set(path.toLowerCase(), content);
  });
  afterAll(() => image?.[Symbol.asyncDispose]());

  it.each(models)("has what a $model asks for", ({ code, chip, name }) => {
    for (const part of bootCode[code]) expect(file(part).length).toBeGreaterThan(1000);
    const settings = text("config.txt").split("[tryboot]")[0]!;
    const setting = (key: string) => new RegExp(`^${key}[= ](.+)$`, "m").exec(settings)?.[1];
    expect(setting("upstream_kernel")).toBe("1");
    expect(setting("arm_64bit")).toBe("1");
    // The firmware ignores the prefix unless kernel and device tree are there.
    const prefix = setting("os_prefix")!;
    const kernel = file(prefix + setting("kernel"));
    // It starts an uncompressed image (or one of gzip); Documentation/arch/arm64/booting.rst: "ARM\x64" at 56.
    expect(kernel.toString("latin1", 56, 60)).toBe("ARMd");
    const [initramfs, place] = setting("initramfs")!.split(" ");
    expect(file(prefix + initramfs).readUInt32LE()).toBe(0xfd2fb528); // zstd
    expect(place).toBe("followkernel");
    expect(text(prefix + setting("cmdline"))).toMatch(
      /^homing\.boot=[^\n]+ console=serial0,115200 [^\n]+\n$/,
    );
    const tree = readDeviceTree(file(`${prefix}bcm${chip}-rpi-${name}.dtb`));
    // A Pi 5 refuses a system whose tree does not name its chip ("os_check").
    expect(property(tree.root, "compatible")).toContain(`brcm,bcm${chip}`);
  });

  it.each(models.filter(({ code }) => code !== "flash5"))(
    "has firmware that makes the name of the device tree of a $model",
    ({ code, name }) => {
      const firmware = file(code === "card" ? "start.elf" : "start4.elf").toString("latin1");
      expect(firmware).toContain("\0bcm%d-rpi-%s.dtb\0");
      expect(firmware).toContain(`\0${name}\0`);
    },
  );

  it("has boot code that asks for these files", () => {
    const code = file("bootcode.bin").toString("latin1");
    for (const name of ["start.elf", "fixup.dat", "config.txt"]) expect(code).toContain(name);
  });

  it("has the overlay that makes the tree of a Pi 5 right for stepping D0", () => {
    expect(files.has("a/overlays/readme")).toBe(true); // without it the folder is ignored
    const base = readDeviceTree(file("a/bcm2712-rpi-5-b.dtb")).root;
    const merged = new Map<string, unknown>();
    describeNode(base, "", merged);
    for (const fragment of readDeviceTree(file("a/overlays/bcm2712d0.dtbo")).root.children) {
      const target = property(fragment, "target-path").replace(/\0$/, "");
      expect([...merged.keys()].some((path) => path.startsWith(`${target}:`))).toBe(true);
      describeNode(fragment.children[0]!, target, merged, true);
    }
    const d0 = new Map<string, unknown>();
    describeNode(readDeviceTree(file("a/bcm2712-d-rpi-5-b.dtb")).root, "", d0);
    expect(merged).toEqual(d0);
  });
});

function property(node: DeviceNode, name: string): string {
  return Buffer.from(node.properties.get(name) ?? []).toString();
}

/** Every property by "PATH:NAME" in hexadecimal; with `here` the node stands for the one at `path` itself. */
function describeNode(node: DeviceNode, path: string, into: Map<string, unknown>, here = false): void {
  const own = here || node.name === "" ? path : `${path}/${node.name}`;
  for (const [name, value] of node.properties) into.set(`${own}:${name}`, Buffer.from(value).toString("hex"));
  for (const child of node.children) describeNode(child, own, into);
}
