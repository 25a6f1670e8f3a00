/**
 * The audit's readers of FAT32, squashfs and partition tables, against what the writers and mtools make, and against
 * damage: whatever a stranger's image holds, it is read or refused in words.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareTrees } from "../../../image/audit/compare.ts";
import { differingRuns } from "../../../image/audit/disk-bytes.ts";
import type { ExpectedEntry } from "../../../image/audit/expected.ts";
import { readFat } from "../../../image/audit/fat-reader.ts";
import { readPartitions } from "../../../image/audit/partition-reader.ts";
import { AuditError, type ReadAt, readFileAt, readRegionsAt } from "../../../image/audit/read-at.ts";
import { readSquashfs, uncovered } from "../../../image/audit/squashfs-reader.ts";
import { buildFat32 } from "../../../image/formats/fat32.ts";
import { buildGpt, GPT_TYPE } from "../../../image/formats/gpt.ts";
import { buildMbr, MBR_TYPE } from "../../../image/formats/mbr.ts";
import { writeRegions } from "../../../image/formats/regions.ts";
import { writeSquashfs } from "../../../image/formats/squashfs.ts";
import {
  completeDirectories,
  setDirectory,
  setFile,
  setSymlink,
  type Tree,
} from "../../../image/rootfs/tree.ts";

const TIME = 1_790_000_000;
const hasMtools = spawnSync("mcopy", ["--version"]).error === undefined;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const inMemory =
  (bytes: Buffer): ReadAt =>
  async (offset, length) =>
    Buffer.concat([bytes.subarray(offset, offset + length), Buffer.alloc(length)]).subarray(0, length);

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-audit-"));
});
afterAll(() => rm(scratch, { recursive: true }));

function sampleTree(): Tree {
  const tree: Tree = new Map();
  setFile(tree, "bin/sh", Buffer.alloc(600_000, "shell"), { mode: 0o755 });
  setFile(tree, "bin/su", "su", { mode: 0o4755, gid: 42 });
  tree.set("bin/bash", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "bin/sh" });
  setSymlink(tree, "lib", "usr/lib");
  setDirectory(tree, "tmp", { mode: 0o1777 });
  setFile(tree, "empty", "");
  setFile(tree, "zeros", Buffer.alloc(700_000));
  tree.set("dev/null", { type: "character", mode: 0o666, uid: 0, gid: 0, major: 1, minor: 3 });
  tree.set("pipe", { type: "fifo", mode: 0o600, uid: 7, gid: 8 });
  // More than one metadata block, and a listing that needs an extended inode.
  for (let i = 0; i < 3000; i++) setFile(tree, `many/${i}-${"x".repeat(20)}`, `${i}`);
  completeDirectories(tree);
  return tree;
}

function expectedOf(tree: Tree): Map<string, ExpectedEntry> {
  return new Map(
    [...tree].map(([path, listed]): [string, ExpectedEntry] => {
      const entry = listed.type === "hardlink" ? tree.get(listed.target)! : listed;
      if (entry.type === "hardlink") throw new Error("a hard link to a hard link");
      const { type, mode, uid, gid } = entry;
      return [
        path,
        {
          ...{ type, mode, uid, gid, origin: "the test" },
          ...(entry.type === "file" && { size: entry.content.length, sha256: sha256(entry.content) }),
          ...(entry.type === "symlink" && { target: entry.target }),
          ...(listed.type === "hardlink" && { linkOf: listed.target }),
        },
      ];
    }),
  );
}

async function squashfsOf(tree: Tree, name: string): Promise<Buffer> {
  const path = join(scratch, name);
  await writeSquashfs(tree, path, { time: TIME, level: 3 });
  return await readFile(path);
}

describe("readSquashfs and compareTrees", () => {
  it("find nothing in what the writer wrote of the same tree", async () => {
    const image = await squashfsOf(sampleTree(), "same.squashfs");
    const told: number[][] = [];
    const { entries, bytes, time, unreferencedBytes } = await readSquashfs(inMemory(image), (done, total) =>
      told.push([done, total]),
    );
    expect(unreferencedBytes).toBe(0);
    expect(told.at(-1)![0]).toBe(told.at(-1)![1]);
    expect(entries.size).toBeGreaterThan(told.at(-1)![0]!); // hard links
    expect(compareTrees(entries, expectedOf(sampleTree()), TIME)).toEqual([]);
    expect(time).toBe(TIME);
    expect(image.length - bytes).toBeLessThan(4096);
  });

  it("show what the build itself puts in without an origin", async () => {
    const { entries } = await readSquashfs(inMemory(await squashfsOf(sampleTree(), "unknown.squashfs")));
    const expected = expectedOf(sampleTree());
    expected.set("bin/su", { ...expected.get("bin/su")!, origin: undefined });
    expect(compareTrees(entries, expected, TIME)).toEqual([
      {
        place: "root file system",
        path: "/bin/su",
        problem: "is a file that the build itself puts in, from no package, npm package or source of ours",
      },
    ]);
  });

  it.each<[string, (tree: Tree) => void, string, RegExp]>([
    ["a new file", (tree) => setFile(tree, "bin/evil", "x"), "/bin/evil", /is a file that no package/],
    ["a new link", (tree) => setSymlink(tree, "etc/x", "/evil"), "/etc/x", /is a symlink that no package/],
    ["another content", (tree) => setFile(tree, "empty", "x"), "/empty", /its content differs/],
    [
      "one byte in zeros",
      (tree) => setFile(tree, "zeros", Buffer.alloc(700_000).fill(1, 9, 10)),
      "/zeros",
      /content/,
    ],
    [
      "another target",
      (tree) => setSymlink(tree, "lib", "evil"),
      "/lib",
      /leads to "evil" instead of "usr\/lib"/,
    ],
    [
      "another mode",
      (tree) => setFile(tree, "bin/su", "su", { mode: 0o6755, gid: 42 }),
      "/bin/su",
      /6755 instead of 4755/,
    ],
    [
      "another owner",
      (tree) => setFile(tree, "bin/su", "su", { mode: 0o4755 }),
      "/bin/su",
      /0:0 instead of 0:42/,
    ],
    ["another kind", (tree) => setDirectory(tree, "empty"), "/empty", /a directory instead of a file/],
    ["a missing file", (tree) => tree.delete("pipe"), "/pipe", /is missing \(the test\)/],
    [
      "a link in place of a file",
      (tree) =>
        tree.set("many/1-xxxxxxxxxxxxxxxxxxxx", {
          type: "hardlink",
          mode: 0,
          uid: 0,
          gid: 0,
          target: "bin/su",
        }),
      "/many/1-xxxxxxxxxxxxxxxxxxxx",
      /one file with \/bin\/su/,
    ],
  ])("show %s, and nothing else", async (_what, change, path, problem) => {
    const tree = sampleTree();
    change(tree);
    completeDirectories(tree);
    const { entries } = await readSquashfs(inMemory(await squashfsOf(tree, "changed.squashfs")));
    const findings = compareTrees(entries, expectedOf(sampleTree()), TIME);
    const others = findings.filter((finding) => finding.path !== path && finding.path !== "/etc");
    expect(others).toEqual([]);
    expect(findings.find((finding) => finding.path === path)!.problem).toMatch(problem);
  });

  it("read or refuse any damaged image in words, within bounds", async () => {
    const tree: Tree = new Map([...sampleTree()].filter(([path]) => !/^many\/\d{3}/.test(path)));
    const whole = await squashfsOf(tree, "whole.squashfs");
    const run = fc.uint8Array({ minLength: 1, maxLength: 8 });
    // Most fields are in the superblock; the tables are at the end.
    const place = fc.oneof(fc.nat(95), fc.nat(whole.length - 9));
    await fc.assert(
      fc.asyncProperty(place, run, async (at, values) => {
        const bytes = Buffer.from(whole);
        bytes.set(values, at);
        await readSquashfs(inMemory(bytes)).catch((error) => expect(error).toBeInstanceOf(AuditError));
      }),
      { numRuns: DAMAGED_IMAGES },
    );
  });
});

/** Each takes some milliseconds. */
const DAMAGED_IMAGES = 300;

describe("uncovered", () => {
  it("counts what lies in no range, however they overlap", () => {
    const ranges = [
      { start: 50, end: 60 },
      { start: 10, end: 20 },
      { start: 15, end: 18 },
      { start: 60, end: 70 },
    ];
    expect(uncovered(ranges, 10, 70)).toBe(30);
    expect(uncovered(ranges, 0, 80)).toBe(50);
    expect(uncovered(ranges, 12, 55)).toBe(30);
    expect(uncovered([], 5, 9)).toBe(4);
  });
});

describe("readFat", () => {
  const files = new Map<string, Buffer>([
    ["EFI/BOOT/BOOTX64.EFI", Buffer.alloc(120_001, "loader")],
    ["loader/entries/homing-0.1.0+3-0.conf", Buffer.from("entry")],
    ["Grüße an 東京.txt", Buffer.from("x")],
    ["empty", Buffer.alloc(0)],
    [`${"l".repeat(251)}.txt`, Buffer.from("long")],
    ["nothing-inside/", Buffer.alloc(0)],
  ]);
  const volume = () =>
    buildFat32(files, { sizeBytes: 34 * 2 ** 20, label: "HOMING", volumeId: 1, time: TIME });

  it("gives back the files of the writer", async () => {
    const found = await readFat(readRegionsAt(volume().regions));
    const folders = ["EFI/", "EFI/BOOT/", "loader/", "loader/entries/"].map(
      (path) => [path, Buffer.alloc(0)] as const,
    );
    expect(new Map([...found].sort())).toEqual(new Map([...files, ...folders].sort()));
  });

  it.skipIf(!hasMtools)("sees what mtools added, changed and deleted (needs mtools)", async () => {
    const path = join(scratch, "volume.img");
    {
      await using file = await open(path, "w");
      await file.truncate(34 * 2 ** 20);
      await writeRegions(file, volume().regions);
    }
    await writeFile(join(scratch, "evil"), Buffer.alloc(5000, "evil"));
    const mtools = (program: string, ...rest: string[]) => execFileSync(program, ["-i", path, ...rest]);
    mtools("mcopy", join(scratch, "evil"), "::evil.efi");
    mtools("mcopy", join(scratch, "evil"), "::EFI/Another long name.efi");
    mtools("mdel", "::loader/entries/homing-0.1.0+3-0.conf");
    mtools("mmd", "::new");
    await using file = await open(path);
    const found = await readFat(readFileAt(file));
    expect(found.get("evil.efi")).toEqual(Buffer.alloc(5000, "evil"));
    expect(found.get("EFI/Another long name.efi")).toEqual(Buffer.alloc(5000, "evil"));
    expect([...found.keys()].filter((name) => name.startsWith("loader/"))).toEqual([
      "loader/",
      "loader/entries/",
    ]);
    expect(found.has("new/")).toBe(true);
  });

  it("reads or refuses any damaged volume in words", async () => {
    const { regions } = volume();
    const starts = regions.map(({ offset }) => offset);
    const place = fc.oneof(
      fc.nat(89),
      fc.tuple(fc.constantFrom(...starts), fc.nat(2000)).map(([at, more]) => at + more),
    );
    await fc.assert(
      fc.asyncProperty(place, fc.uint8Array({ minLength: 1, maxLength: 8 }), async (offset, bytes) => {
        const read = readRegionsAt([...regions, { offset, bytes }]);
        await readFat(read).catch((error) => expect(error).toBeInstanceOf(AuditError));
      }),
      { numRuns: DAMAGED_IMAGES },
    );
  });
});

describe("readPartitions", () => {
  it("finds those of a GPT and of an MBR", async () => {
    const places = [
      { firstSector: 2048, sectors: 4096 },
      { firstSector: 8192, sectors: 100 },
    ];
    const guid = (n: number) => `7a5c1d2e-0000-4000-8000-00000000000${n}`;
    const gpt = buildGpt({
      diskSectors: 20_000,
      diskGuid: guid(0),
      partitions: places.map((place, n) => ({
        ...place,
        type: GPT_TYPE.linuxData,
        guid: guid(n + 1),
        name: "x",
      })),
    });
    const mbr = buildMbr({
      diskSectors: 20_000,
      diskId: 1,
      partitions: places.map((place) => ({ ...place, type: MBR_TYPE.linux })),
    });
    const partitions = places.map(({ firstSector, sectors }, n) => ({
      number: n + 1,
      startBytes: firstSector * 512,
      sizeBytes: sectors * 512,
    }));
    expect(await readPartitions(readRegionsAt(gpt))).toEqual({ table: "gpt", partitions });
    expect(await readPartitions(readRegionsAt(mbr))).toEqual({ table: "mbr", partitions });
  });

  it("refuses a disk without a table", async () => {
    await expect(readPartitions(readRegionsAt([]))).rejects.toThrow("there is no partition table");
  });
});

describe("differingRuns", () => {
  it("tells where bytes differ, near ones as one, and passes over the range that is judged otherwise", async () => {
    const read = readRegionsAt([
      { offset: 10, bytes: Buffer.from("ab") },
      { offset: 3_000_000, bytes: Buffer.from("skipped") },
      { offset: 5_000_000, bytes: Buffer.from("a") },
      { offset: 5_000_100, bytes: Buffer.from("b") },
    ]);
    const asBuilt = readRegionsAt([{ offset: 10, bytes: Buffer.from("ac") }]);
    const skip = { start: 2_999_999, end: 4_000_000 };
    expect(await differingRuns({ read, asBuilt, length: 6_000_000, skip })).toEqual([
      { start: 11, bytes: 1 },
      { start: 5_000_000, bytes: 101 },
    ]);
  });
});
