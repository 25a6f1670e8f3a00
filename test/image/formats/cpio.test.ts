/** The cpio writer, judged by GNU cpio. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildCpio } from "../../../image/formats/cpio.ts";
import { setDirectory, setFile, setSymlink, type Tree } from "../../../image/rootfs/tree.ts";

const TIME = 1_790_000_000;
const hasCpio = ["/usr/bin/cpio", "/bin/cpio"].some(existsSync);
const isRoot = process.getuid?.() === 0;

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-cpio-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

function sampleTree(): Tree {
  const tree: Tree = new Map();
  setFile(tree, "init", "#!/bin/sh\n", { mode: 0o755 });
  setFile(tree, "bin/busybox", Buffer.alloc(70_001, "busybox"), { mode: 0o4755, gid: 42 });
  tree.set("bin/zz-second-name", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "bin/busybox" });
  tree.set("aa-third-name", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "bin/busybox" });
  setSymlink(tree, "bin/sh", "busybox");
  setDirectory(tree, "proc", { mode: 0o555 });
  tree.set("dev/console", { type: "character", mode: 0o600, uid: 0, gid: 0, major: 5, minor: 1 });
  for (const length of [1, 2, 3, 4, 5]) setFile(tree, `odd/${"n".repeat(length)}`, "c".repeat(length));
  setFile(tree, "odd/empty", "");
  return tree;
}

describe("buildCpio", () => {
  it.skipIf(!hasCpio || !isRoot)("is unpacked whole by cpio (needs cpio and root)", async () => {
    const input = Buffer.concat(buildCpio(sampleTree(), { time: TIME }));
    const names = execFileSync("cpio", ["-t", "--quiet"], { input, encoding: "utf8" }).trim().split("\n");
    expect(names.slice(0, 3)).toEqual(["aa-third-name", "bin", "bin/busybox"]);
    const target = await mkdtemp(join(scratch, "unpacked-"));
    execFileSync("cpio", ["-idm", "--quiet"], { input, cwd: target });
    for (const [path, entry] of sampleTree()) {
      const stat = await lstat(join(target, path));
      if (entry.type === "file") {
        expect(await readFile(join(target, path))).toEqual(Buffer.from(entry.content));
        expect([path, stat.mode & 0o7777, stat.gid]).toEqual([path, entry.mode, entry.gid]);
      }
      if (entry.type === "symlink") expect(await readlink(join(target, path))).toBe(entry.target);
      if (entry.type === "hardlink") expect(stat.ino).toBe((await lstat(join(target, entry.target))).ino);
      if (entry.type === "character") expect(stat.rdev).toBe(5 * 256 + 1);
      if (entry.type === "file") expect(stat.mtimeMs).toBe(TIME * 1000);
    }
    expect((await lstat(join(target, "bin/busybox"))).nlink).toBe(3);
    expect((await lstat(join(target, "proc"))).mode & 0o7777).toBe(0o555);
  });

  it("gives the same bytes whatever the order of the tree, a multiple of 512", () => {
    const bytes = Buffer.concat(buildCpio(sampleTree(), { time: TIME }));
    const reversed = Buffer.concat(buildCpio(new Map([...sampleTree()].reverse()), { time: TIME }));
    expect(bytes.equals(reversed)).toBe(true);
    expect(bytes.length % 512).toBe(0);
  });

  it("refuses a hard link without a target and a number past 32 bits", () => {
    const dangling: Tree = new Map([["a", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "b" }]]);
    expect(() => buildCpio(dangling, { time: TIME })).toThrow("/a is a hard link to /b");
    expect(() => buildCpio(sampleTree(), { time: 2 ** 33 })).toThrow("does not fit 32 bits");
  });
});
