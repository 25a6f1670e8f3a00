/** The layouts of both targets, judged by sfdisk, fsck.vfat and mtools. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { targets } from "../../../image/build.ts";
import { writeRegions } from "../../../image/formats/regions.ts";
import { type DiskContent, MEBIBYTE, partitions, TargetError } from "../../../image/targets/target.ts";

const ROOTFS_BYTES = 5 * MEBIBYTE + 4096;
const hasTool = (name: string) => spawnSync(name, ["--version"]).error === undefined;
const missing = ["sfdisk", "sgdisk", "fsck.vfat", "mtype"].filter((name) => !hasTool(name));

const content: DiskContent = {
  boot: {
    kernel: Buffer.alloc(300_000, "kernel"),
    initramfs: Buffer.alloc(70_000, "initramfs"),
    bootLoader: Buffer.from("loader"),
    deviceTrees: new Map([["bcm2711-rpi-4-b.dtb", Buffer.from("tree")]]),
    firmware: new Map([["start4.elf", Buffer.from("firmware")]]),
    biosLoader: undefined,
  },
  rootfsBytes: ROOTFS_BYTES,
  relay: new Map([
    ["relay.toml", Buffer.from('domain = "_a.test"\n')],
    ["keys/tls.pem", Buffer.from("key")],
  ]),
  time: 1_790_000_000,
};

describe.each(["vm", "pi"] as const)("target %s", (name) => {
  let folder: string;
  let image: string;
  const disk = targets[name].layOut(content);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-target-"));
    image = join(folder, "disk.img");
    await using file = await open(image, "w");
    await writeRegions(file, disk.regions);
    // A card is larger than the image that is written to it.
    await file.truncate(Math.max(disk.sizeBytes, partitions.rootA.startBytes + partitions.rootA.sizeBytes));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const fat = () => `${image}@@${partitions.boot.startBytes}`;
  const type = (path: string) => execFileSync("mtype", ["-i", fat(), `::${path}`], { encoding: "utf8" });

  it.skipIf(missing.includes("sfdisk"))("has a partition table that sfdisk finds sound (sfdisk)", () => {
    const table = JSON.parse(execFileSync("sfdisk", ["--json", image], { encoding: "utf8" })).partitiontable;
    expect(table.label).toBe(name === "vm" ? "gpt" : "dos");
    expect(table.partitions.map(({ start, size }: { start: number; size: number }) => [start, size])).toEqual(
      [
        [2048, 256 * 2048],
        [257 * 2048, 384 * 2048],
      ],
    );
    const verify = spawnSync("sfdisk", ["--verify", image], { encoding: "utf8" });
    expect(verify.stdout + verify.stderr).toMatch(/No errors detected/);
  });

  if (name === "vm")
    it.skipIf(missing.includes("sgdisk"))("has a GPT that sgdisk finds sound (sgdisk)", () => {
      expect(execFileSync("sgdisk", ["-v", image], { encoding: "utf8" })).toContain("No problems found");
    });

  it.skipIf(missing.includes("fsck.vfat"))("has a sound boot partition (fsck.vfat)", async () => {
    const volume = join(folder, "boot.fat");
    const from = [
      `if=${image}`,
      `of=${volume}`,
      "bs=1M",
      "skip=1",
      "count=256",
      "conv=sparse",
      "status=none",
    ];
    execFileSync("dd", from);
    expect(spawnSync("fsck.vfat", ["-n", volume], { encoding: "utf8" })).toMatchObject({ status: 0 });
  });

  it.skipIf(missing.includes("mtype"))("carries the relay, the kernel and its boot entry (mtools)", () => {
    expect(type("/relay/relay.toml")).toBe('domain = "_a.test"\n');
    expect(type("/relay/keys/tls.pem")).toBe("key");
    expect(type("/a/vmlinuz")).toHaveLength(300_000);
    expect(type("/loader/entries/homing-a.conf")).toMatch(/^linux \/a\/vmlinuz$/m);
    expect(type("/loader/entries/homing-a.conf")).toMatch(
      /^options homing\.boot=[0-9a-f]{8} homing\.slot=a .*console=/m,
    );
    if (name === "pi") {
      expect(type("/config.txt")).toMatch(/^os_prefix=a\/$/m);
      expect(type("/a/cmdline.txt")).toMatch(/^homing\.boot=[0-9a-f]{8} homing\.slot=a [^\n]*\n$/);
      expect(type("/a/bcm2711-rpi-4-b.dtb")).toBe("tree");
      expect(type("/start4.elf")).toBe("firmware");
    }
  });

  it.skipIf(missing.includes("mtype"))("names the volume id of its own boot partition to the kernel", () => {
    const boot = (relay: DiskContent["relay"]) => {
      const { regions } = targets[name].layOut({ ...content, relay });
      const sector = regions.find(({ offset }) => offset === partitions.boot.startBytes)!.bytes;
      return Buffer.from(sector).readUInt32LE(67).toString(16).padStart(8, "0"); // BS_VolID
    };
    const id = boot(content.relay);
    expect(type("/loader/entries/homing-a.conf")).toContain(` homing.boot=${id} `);
    expect(boot(new Map([...content.relay].reverse()))).toBe(id);
    expect(boot(new Map([...content.relay, ["keys/tls.pem", Buffer.from("kez")]]))).not.toBe(id);
  });

  it("has the root file system on its partition's first byte, behind everything else", () => {
    expect(disk.rootfsOffset).toBe(partitions.rootA.startBytes);
    expect(disk.sizeBytes).toBeGreaterThanOrEqual(disk.rootfsOffset + ROOTFS_BYTES);
  });

  it("gives the same bytes for the same content", () => {
    expect(targets[name].layOut(content)).toEqual(disk);
  });

  it("refuses a root file system larger than its partition", () => {
    const tooLarge = { ...content, rootfsBytes: partitions.rootA.sizeBytes + 1 };
    expect(() => targets[name].layOut(tooLarge)).toThrow(TargetError);
  });
});
