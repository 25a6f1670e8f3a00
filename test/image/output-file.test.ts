/** Where an image may be written (image/output-file.ts): real layouts, changed by sfdisk as the device does. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { targets } from "../../image/build.ts";
import { writeDiskFile } from "../../image/disk-file.ts";
import { writeRegions } from "../../image/formats/regions.ts";
import { checkOutputFile, OutputFileError } from "../../image/output-file.ts";
import type { DiskContent, TargetName } from "../../image/targets/target.ts";
import { bytesAt } from "../support/loop-disk.ts";
import { noSmallDisk, onSmallDisk } from "../support/small-disk.ts";

const hasSfdisk = spawnSync("sfdisk", ["--version"]).error === undefined;
const piece = Buffer.from("piece");
const content: DiskContent = {
  boot: {
    kernel: piece,
    initramfs: piece,
    bootLoader: piece,
    deviceTrees: new Map(),
    firmware: new Map(),
    biosLoader: undefined,
  },
  rootfsBytes: 4096,
  relay: new Map(),
  time: 1_790_000_000,
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-output-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The first 2 MiB of the image as a zstd file. */
async function compressedHead(image: string): Promise<Buffer> {
  await using file = await open(image);
  const { buffer } = await file.read(Buffer.alloc(2 << 20));
  return zstdCompressSync(buffer);
}

const keep = { keepUsed: true };

describe.each(["vm", "pi"] as const)("an image of target %s", (target: TargetName) => {
  let image: string;
  beforeAll(async () => {
    image = join(folder, `${target}.img`);
    const disk = targets[target].layOut(content);
    await using file = await open(image, "w");
    await writeRegions(file, disk.regions);
    await file.truncate(disk.sizeBytes);
  });

  it("may be replaced when it was never booted, however large its file was made", async () => {
    expect(await checkOutputFile(image, keep)).toBe(image);
    await truncate(image, 4 * 2 ** 30);
    expect(await checkOutputFile(image, keep)).toBe(image);
  });

  it.each(["qcow2", "vmdk"] as const)("may be replaced as %s, until it has been booted", async (format) => {
    const head = join(folder, `${target}-head.img`);
    await writeFile(head, await bytesAt(image, 0, 2 << 20));
    const place = join(folder, `${target}.${format}`);
    const write = () => writeDiskFile(format, { from: head, to: place, finalName: place }, 2 << 20, () => {});
    await write();
    expect(await checkOutputFile(place, keep)).toBe(place);
    {
      await using disk = await open(head, "r+");
      // The types of the third partition, as the device sets them: in the MBR, and in the GPT.
      if (target === "pi") await disk.write(Buffer.from([0x83]), 0, 1, 446 + 2 * 16 + 4);
      else await disk.write(Buffer.alloc(16, 7), 0, 16, 1024 + 2 * 128);
    }
    await rm(place);
    await write();
    await expect(checkOutputFile(place, keep)).rejects.toThrow("has been booted");
    await rm(head);
  });

  it("may be replaced when it is compressed", async () => {
    const compressed = `${image}.zst`;
    await writeFile(compressed, await compressedHead(image));
    expect(await checkOutputFile(compressed, keep)).toBe(compressed);
  });

  it.skipIf(!hasSfdisk)("is kept once the device has made its partitions (sfdisk)", async () => {
    if (target === "vm") execFileSync("sfdisk", ["--relocate", "gpt-bak-std", image], { stdio: "ignore" });
    execFileSync("sfdisk", ["--append", "--no-reread", image], {
      input: "size=300M\nsize=1G\n",
      stdio: "pipe",
    });
    await expect(checkOutputFile(image, keep)).rejects.toThrow(/accounts and mail are in it .*--replace/);
    await expect(checkOutputFile(image, keep)).rejects.toThrow(OutputFileError);
    await writeFile(`${image}.used.zst`, await compressedHead(image));
    await expect(checkOutputFile(`${image}.used.zst`, keep)).rejects.toThrow(/accounts and mail are in it/);
    expect(await checkOutputFile(image, { keepUsed: false })).toBe(image);
  });
});

describe("checkOutputFile", () => {
  it("takes a new name in a folder that is there", async () => {
    expect(await checkOutputFile(join(folder, "new.img"), keep)).toBe(join(folder, "new.img"));
  });

  it.each([
    ["a text", Buffer.from("dear diary\n")],
    ["an empty file", Buffer.alloc(0)],
    ["a text in a zstd file", zstdCompressSync("dear diary\n")],
    ["a zstd file that is cut off", zstdCompressSync(Buffer.alloc(3 << 20)).subarray(0, 20)],
    ["a zstd file that is damaged", Buffer.from("28b52ffdffffffff", "hex")],
    ["a disk of somebody else", Buffer.alloc(3 << 20).fill("\x55\xaa", 510, 512)],
  ])("keeps %s", async (name, bytes) => {
    const file = join(folder, name);
    await writeFile(file, bytes);
    await expect(checkOutputFile(file, { keepUsed: false })).rejects.toThrow("no disk image made by Homing");
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });

  it("looks at what a link leads to", async () => {
    await writeFile(join(folder, "mine"), "mine");
    await symlink(join(folder, "mine"), join(folder, "link"));
    await expect(checkOutputFile(join(folder, "link"), keep)).rejects.toThrow("no disk image made by Homing");
  });

  it("names what is wrong with folders and devices", async () => {
    await mkdir(join(folder, "sub"));
    await expect(checkOutputFile(join(folder, "sub"), keep)).rejects.toThrow("is a folder");
    await expect(checkOutputFile(join(folder, "none/x.img"), keep)).rejects.toThrow(
      `there is no folder ${join(folder, "none")}`,
    );
    if (process.platform !== "win32")
      await expect(checkOutputFile("/dev/null", keep)).rejects.toThrow("is not a plain file");
  });

  it("leaves nothing in the folder that it tries", async () => {
    const empty = join(folder, "empty");
    await mkdir(empty);
    await checkOutputFile(join(empty, "new.img"), keep);
    expect(await readdir(empty)).toEqual([]);
  });

  it.skipIf(process.platform !== "linux")("names a folder that takes no files, root's too", async () => {
    await expect(checkOutputFile("/proc/x.img", keep)).rejects.toThrow(
      "no image can be written to the folder /proc: no files can be made in it (ENOENT). Give another place with --out.",
    );
    await expect(checkOutputFile("/proc/x.img", keep)).rejects.toThrow(OutputFileError);
  });

  it("names a disk that is read-only, also where an image is there", async (test) => {
    const done = await onSmallDisk(8192, async ({ path: disk, makeReadOnly }) => {
      const there = join(disk, "there.img");
      const { regions } = targets.pi.layOut(content);
      await using file = await open(there, "w");
      await writeRegions(file, regions);
      await file.close();
      makeReadOnly();
      for (const path of [join(disk, "new.img"), there]) {
        await expect(checkOutputFile(path, keep)).rejects.toThrow(
          `no image can be written to the folder ${disk}: read-only file system (EROFS). Give another place`,
        );
      }
    });
    if (!done) test.skip(noSmallDisk);
  });
});
