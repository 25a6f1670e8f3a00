/** Making a FAT bootable by a BIOS, judged by what Debian's `syslinux --install` writes. The boot ring starts one. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildFat32, type Fat32Volume } from "../../../image/formats/fat32.ts";
import { writeRegions } from "../../../image/formats/regions.ts";
import {
  installSyslinux,
  LDLINUX_SYS,
  readSyslinux,
  SyslinuxError,
  syslinuxFiles,
} from "../../../image/formats/syslinux.ts";

const options = { label: "HOMING", volumeId: 0x20240911, time: 1_790_000_001, hiddenSectors: 2048 };
const SECTOR = 512;
const parts = {
  program: "/usr/bin/syslinux",
  mbr: "/usr/lib/syslinux/mbr/gptmbr.bin",
};
const missing = Object.values(parts).filter((path) => !existsSync(path));
const readAt = async (file: FileHandle, offset: number, length: number) => {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
};
const hasMtools = existsSync("/usr/bin/mshowfat");

describe("readSyslinux", () => {
  it("refuses what is no syslinux", () => {
    const nothing = new Uint8Array(10_000);
    expect(() => readSyslinux(nothing, nothing)).toThrow(SyslinuxError);
  });
});

describe.skipIf(missing.length > 0 || !hasMtools)("installSyslinux (needs syslinux and mtools)", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-syslinux-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const syslinux = () => readSyslinux(readFileSync(parts.program), readFileSync(parts.mbr));

  // One of 512 bytes a cluster as in the images, one of 4 KiB; another loader before ours, so that it lies elsewhere.
  it.each([64, 264])("writes what syslinux --install writes, on a volume of %i MiB", async (mebibytes) => {
    const volume = buildFat32(
      new Map([["a/vmlinuz", Buffer.alloc(3_000_001, 7)], ...syslinuxFiles(syslinux())]),
      { ...options, sizeBytes: mebibytes * 2 ** 20 },
    );
    const image = join(folder, `${mebibytes}.img`);
    await using file = await open(image, "w+");
    await file.truncate(volume.sizeBytes);
    await writeRegions(file, installSyslinux(volume, syslinux()));
    const ours = await readAt(file, 0, SECTOR);
    execFileSync("syslinux", ["--install", image], { stdio: ["ignore", "ignore", "pipe"] });
    await using theirs = await open(image);

    // Where mtools has put the loader; in one run, as on a fresh volume.
    const shown = execFileSync("mshowfat", ["-i", image, `::/${LDLINUX_SYS}`], { encoding: "utf8" });
    const [, first, last] = /<(\d+)-(\d+)>/.exec(shown) ?? [];
    const before = volume.locate(LDLINUX_SYS);
    expect(Number(last) - Number(first) + 1).toBe(before.clusterCount);
    const place = {
      ...before,
      firstCluster: Number(first),
      offset: before.offset + (Number(first) - before.firstCluster) * volume.clusterBytes,
    };
    const asPlaced: Fat32Volume = {
      ...volume,
      locate: () => place,
      regions: [volume.regions[0]!, { offset: place.offset, bytes: new Uint8Array(place.bytes) }],
    };
    for (const { offset, bytes } of installSyslinux(asPlaced, syslinux())) {
      expect((await readAt(theirs, offset, bytes.length)).equals(bytes), `at ${offset}`).toBe(true);
    }
    // Where the partition lies on the disk is not the installer's business.
    expect(ours.readUInt32LE(28)).toBe(options.hiddenSectors);
  });

  it("leaves the volume sound for fsck.vfat", async () => {
    const volume = buildFat32(new Map(syslinuxFiles(syslinux())), { ...options, sizeBytes: 64 * 2 ** 20 });
    const image = join(folder, "sound.img");
    await using file = await open(image, "w");
    await file.truncate(volume.sizeBytes);
    await writeRegions(file, installSyslinux(volume, syslinux()));
    const report = execFileSync("/usr/sbin/fsck.vfat", ["-n", "-v", image], { encoding: "utf8" });
    expect(report).not.toMatch(/differ|wrong|dirty|orphan|Auto-/i);
  });

  it("refuses a volume without the loader's place", () => {
    const volume = buildFat32(new Map([[LDLINUX_SYS, new Uint8Array(10)]]), {
      ...options,
      sizeBytes: 64 * 2 ** 20,
    });
    expect(() => installSyslinux(volume, syslinux())).toThrow(`${LDLINUX_SYS} has 10 bytes`);
  });
});
