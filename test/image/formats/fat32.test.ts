/** The FAT32 writer, judged by fsck.vfat, mtools and the kernel's own driver. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildFat32, type Fat32Volume } from "../../../image/formats/fat32.ts";
import { writeRegions } from "../../../image/formats/regions.ts";

const OPTIONS = { sizeBytes: 64 * 2 ** 20, label: "HOMING", volumeId: 0x20240911, time: 1_790_000_001 };
const has = (program: string) =>
  ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].some((d) => existsSync(join(d, program)));
const canMount =
  process.getuid?.() === 0 &&
  existsSync("/dev/loop-control") &&
  existsSync("/proc/filesystems") &&
  readFileSync("/proc/filesystems", "utf8").includes("\tvfat\n");
const environment = {
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
  TZ: "UTC",
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-fat32-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function writeVolume(name: string, volume: Fat32Volume): Promise<string> {
  const path = join(scratch, name);
  await using file = await open(path, "w");
  await file.truncate(volume.sizeBytes);
  await writeRegions(file, volume.regions);
  return path;
}

const bytes = (size: number) => Buffer.alloc(size, `${size} bytes of content\n`);

function sampleFiles(): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>([
    ["EFI/BOOT/BOOTX64.EFI", bytes(120_001)],
    ["loader/entries/homing-0.1.0+3-0.conf", bytes(300)],
    ["loader/entries/homing-0.1.0+2-1.conf", bytes(301)],
    ["loader/loader.conf", bytes(40)],
    ["vmlinuz", bytes(9_000_000)],
    ["empty", new Uint8Array()],
    ["relay/keys/dkim-a1.pem", bytes(1704)],
    ["relay/relay.toml", bytes(3000)],
    [".hidden", bytes(5)],
    ["Grüße an 東京.txt", bytes(6)],
    [`${"l".repeat(251)}.txt`, bytes(7)],
    ["exactly13char", bytes(8)],
    ["nothing-inside/", new Uint8Array()],
  ]);
  // More than one cluster of directory, and numeric tails up to ~60.
  for (let i = 0; i < 60; i++) files.set(`overlays/device-tree-overlay-${i}.dtbo`, bytes(i));
  return files;
}

function fsck(image: string): string {
  return execFileSync("fsck.vfat", ["-n", "-v", image], { encoding: "utf8", env: environment });
}

describe("buildFat32", () => {
  it.skipIf(!has("fsck.vfat"))("satisfies fsck.vfat at every size (needs dosfstools)", async () => {
    for (const sizeBytes of [34 * 2 ** 20, 64 * 2 ** 20, 260 * 2 ** 20 + 512, 9 * 2 ** 30]) {
      const image = await writeVolume("fsck.img", buildFat32(sampleFiles(), { ...OPTIONS, sizeBytes }));
      const report = fsck(image);
      expect(report).toContain("32 bit entries");
      expect(report).toMatch(/: 81 files, /);
      expect(report).not.toMatch(/differ|wrong|dirty|orphan|Auto-|label/i);
    }
  });

  it.skipIf(!has("fsck.vfat"))("is a good volume without a file (needs dosfstools)", async () => {
    expect(fsck(await writeVolume("none.img", buildFat32(new Map(), OPTIONS)))).toMatch(/: 1 files, 1\//);
  });

  it.skipIf(!canMount)(
    "is read back byte for byte by the kernel (needs root and a kernel with vfat)",
    async () => {
      const image = await writeVolume("kernel.img", buildFat32(sampleFiles(), OPTIONS));
      const mountPoint = await mkdtemp(join(scratch, "mount-"));
      execFileSync("mount", [
        "-t",
        "vfat",
        "-o",
        "loop,utf8=1,tz=UTC,check=s,shortname=mixed",
        image,
        mountPoint,
      ]);
      try {
        for (const [path, content] of sampleFiles()) {
          if (path.endsWith("/")) expect(await readdir(join(mountPoint, path))).toEqual([]);
          else expect((await readFile(join(mountPoint, path))).equals(content), path).toBe(true);
        }
        expect((await readdir(join(mountPoint, "overlays"))).length).toBe(60);
        expect((await stat(join(mountPoint, "vmlinuz"))).mtimeMs / 1000).toBe(1_790_000_000);
        // The device writes here too: free clusters are found and the chains stay whole.
        execFileSync("sh", ["-c", "rm -r relay && head -c 20000000 /dev/urandom > new", "--"], {
          cwd: mountPoint,
        });
      } finally {
        execFileSync("umount", [mountPoint]);
      }
      if (has("fsck.vfat")) expect(fsck(image)).not.toMatch(/differ|wrong|orphan/i);
    },
  );

  it.skipIf(!has("mdir"))("is read by mtools, names, label and serial number (needs mtools)", async () => {
    const image = await writeVolume("mtools.img", buildFat32(sampleFiles(), OPTIONS));
    const mtools = (program: string, ...rest: string[]) =>
      execFileSync(program, ["-i", image, ...rest], { encoding: "utf8", env: environment });
    const root = mtools("mdir", "::");
    expect(root).toContain("Volume in drive : is HOMING");
    expect(root).toContain("Volume Serial Number is 2024-0911");
    expect(root).toMatch(/EFI {10}<DIR> {5}2026-09-21/);
    expect(mtools("mdir", "::loader/entries")).toMatch(/HOMING~1 CON +301 .*homing-0\.1\.0\+2-1\.conf/);
    const target = join(scratch, "BOOTX64.EFI");
    mtools("mcopy", "-n", "::efi/boot/bootx64.efi", target);
    expect((await readFile(target)).equals(bytes(120_001))).toBe(true);

    const everything = await mkdtemp(join(scratch, "mcopy-"));
    mtools("mcopy", "-s", "-m", "-n", "::*", everything);
    for (const [path, content] of sampleFiles()) {
      if (path.endsWith("/")) expect(await readdir(join(everything, path))).toEqual([]);
      else expect((await readFile(join(everything, path))).equals(content), path).toBe(true);
    }
    expect((await stat(join(everything, "vmlinuz"))).mtimeMs / 1000).toBe(1_790_000_000);

    // The device writes here too: free clusters are found, chains and counts stay whole.
    mtools("mdeltree", "::relay");
    mtools("mcopy", join(everything, "vmlinuz"), "::vmlinuz.new");
    if (has("fsck.vfat")) expect(fsck(image)).not.toMatch(/differ|wrong|orphan/i);
  });

  it("tells where a file lies, in one run of clusters", async () => {
    const volume = buildFat32(sampleFiles(), OPTIONS);
    const image = await readFile(await writeVolume("locate.img", volume));
    const { firstCluster, clusterCount, offset, bytes: size } = volume.locate("vmlinuz");
    expect(image.subarray(offset, offset + size).equals(bytes(9_000_000))).toBe(true);
    expect(clusterCount).toBe(Math.ceil(9_000_000 / volume.clusterBytes));
    // The chain in the table on disk says the same.
    const fat = image.readUInt16LE(14) * 512;
    const chain = [firstCluster];
    const following = (cluster: number) => image.readUInt32LE(fat + cluster * 4);
    for (let next = following(firstCluster); next < 0x0ffffff8; next = following(next)) chain.push(next);
    expect(chain).toEqual(Array.from({ length: clusterCount }, (_, index) => firstCluster + index));
    expect(volume.locate("empty")).toEqual({ firstCluster: 0, clusterCount: 0, offset: 0, bytes: 0 });
    expect(() => volume.locate("VMLINUZ")).toThrow("holds no VMLINUZ");
  });

  it("gives the same bytes whatever the order of the files", () => {
    const forwards = buildFat32(sampleFiles(), OPTIONS).regions;
    const backwards = buildFat32(new Map([...sampleFiles()].reverse()), OPTIONS).regions;
    const plain = (regions: typeof forwards) =>
      regions.map(({ offset, bytes }) => [offset, createHash("sha256").update(bytes).digest("hex")]);
    expect(plain(backwards)).toEqual(plain(forwards));
  });

  it("states the partition's first sector for boot loaders", () => {
    const volume = buildFat32(new Map(), { ...OPTIONS, hiddenSectors: 2048 });
    expect(Buffer.from(volume.regions[0]!.bytes).readUInt32LE(28)).toBe(2048);
  });

  it("refuses what FAT cannot hold and says why", () => {
    const build =
      (path: string, options = {}) =>
      () =>
        buildFat32(new Map([[path, bytes(10)]]), { ...OPTIONS, ...options });
    expect(build("a:b")).toThrow('"a:b" cannot be a name on FAT');
    expect(build("dir./x")).toThrow("no dot or space at the end");
    expect(build("/absolute")).toThrow('"" cannot be a name');
    expect(build("x".repeat(256))).toThrow("1 to 255 characters");
    expect(build("x", { label: "homing" })).toThrow('volume label "homing"');
    expect(build("x", { sizeBytes: 2 ** 24 })).toThrow("too small for FAT32: 33 MiB are the least");
    expect(build("x", { sizeBytes: 2 ** 26 + 1 })).toThrow("a multiple of 512");
    expect(build("x", { time: 0 })).toThrow("not between 1980 and 2107");
    const two = (a: string, b: string) => () =>
      buildFat32(new Map([a, b].map((p) => [p, bytes(1)])), OPTIONS);
    expect(two("Readme", "README")).toThrow("README and Readme are the same name on FAT");
    expect(two("a", "a/b")).toThrow("a cannot be both a file and a directory");
    expect(two("a/b", "a")).toThrow("a cannot be both a file and a directory");
    const large = new Map([["large", Buffer.alloc(65 * 2 ** 20)]]);
    expect(() => buildFat32(large, OPTIONS)).toThrow(
      /the files need \d+ bytes, but a FAT32 volume of 67108864/,
    );
  });
});
