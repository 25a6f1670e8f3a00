/** The cache of root file systems: whole or not at all, with several builds at once, and not without end. */
import { existsSync, mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { mkdir, open, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  IN_USE_MILLISECONDS,
  KEPT_PER_ARCHITECTURE,
  pruneRootfs,
  readRootfs,
  storeRootfs,
} from "../../../image/rootfs/rootfs-cache.ts";

const boot = {
  kernel: Buffer.from("kernel"),
  initramfs: Buffer.from("initramfs"),
  bootLoader: Buffer.from("loader"),
  deviceTrees: new Map([["a.dtb", Buffer.from("tree")]]),
  firmware: new Map([["start.elf", Buffer.from("firmware")]]),
  biosLoader: {
    mbr: Buffer.from("mbr"),
    bootSector: Buffer.from("boot sector"),
    ldlinuxSys: Buffer.from("loader"),
    ldlinuxC32: Buffer.from("module"),
  },
};
const sbom = Buffer.from("{}");
const now = Date.now();
const long = IN_USE_MILLISECONDS + 60_000;

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "homing-rootfs-cache-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

const folderOf = (number: number, architecture = "amd64") =>
  join(cache, `${architecture}-${number.toString(16).padStart(32, "0")}`);

function store(folder: string, content = "squashfs") {
  return storeRootfs(folder, { boot, sbom }, async (path) => {
    await writeFile(path, content);
    return { bytes: content.length };
  });
}

async function age(folder: string, milliseconds: number): Promise<void> {
  const time = new Date(now - milliseconds);
  await utimes(folder, time, time);
}

describe("the cache of root file systems", () => {
  it("gives back what was stored", async () => {
    const stored = await store(folderOf(1));
    expect(stored).toMatchObject({ bytes: 8, boot, sbom });
    expect(await readRootfs(folderOf(1))).toEqual(stored);
    expect(await readRootfs(folderOf(2))).toBeUndefined();
  });

  it("makes a damaged one anew", async () => {
    const { path } = await store(folderOf(1));
    await writeFile(path, "squashes");
    expect(await readRootfs(folderOf(1))).toBeUndefined();
    await store(folderOf(1));
    expect(await readRootfs(folderOf(1))).toBeDefined();
    expect(await readdir(cache)).toEqual([basename(folderOf(1))]);
  });

  it("makes it anew when any file of it is damaged, cut short or lost", async () => {
    const names = (await store(folderOf(1)).then(() => readdir(folderOf(1), { recursive: true }))).sort();
    const files = names.filter((name) => name !== "dtb" && name !== "firmware");
    expect(files).toHaveLength(12);
    for (const name of files) {
      const path = join(folderOf(1), name);
      const content = await readFile(path);
      const flipped = Buffer.from(content);
      flipped[flipped.length >> 1]! ^= 1;
      for (const damaged of [flipped, content.subarray(0, -1), Buffer.alloc(0), undefined]) {
        if (damaged) await writeFile(path, damaged);
        else await rm(path);
        expect(await readRootfs(folderOf(1)), `${name}: ${damaged}`).toBeUndefined();
        await writeFile(path, content);
      }
    }
    expect(await readRootfs(folderOf(1))).toBeDefined();
  });

  it("takes a list of its files that is none for nothing, and replaces it", async () => {
    const wrong = [
      "",
      "{",
      "null",
      "[]",
      '{"bytes": 8}',
      '{"sha256": "", "contents": {"bytes": 8, "files": {}}}',
    ];
    for (const text of wrong) {
      await store(folderOf(1));
      await writeFile(join(folderOf(1), "manifest.json"), text);
      expect(await readRootfs(folderOf(1)), text).toBeUndefined();
    }
    await store(folderOf(1));
    expect(await readRootfs(folderOf(1))).toMatchObject({ boot, sbom });
  });

  it.skipIf(process.platform !== "linux")("is on the disk before it has its name (Linux)", async () => {
    const handle = await open(cache);
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    const synced: { path: string; beforeName: boolean }[] = [];
    const sync = vi.spyOn(prototype, "sync").mockImplementation(function (this: { fd: number }) {
      const path = readlinkSync(`/proc/self/fd/${this.fd}`);
      synced.push({ path, beforeName: !existsSync(folderOf(1)) });
      return Promise.resolve();
    });
    await store(folderOf(1));
    sync.mockRestore();
    const before = synced.filter(({ beforeName }) => beforeName).map(({ path }) => path);
    const inside = before.map((path) => path.replace(/^.*\.part-\w+/, "")).sort();
    const names = await readdir(folderOf(1), { recursive: true });
    expect(inside).toEqual(["", ...names.map((name) => `/${name}`)].sort());
    expect(synced.at(-1)).toEqual({ path: cache, beforeName: false });
  });

  it("leaves nothing behind when the writing fails", async () => {
    const failing = storeRootfs(folderOf(1), { boot, sbom }, () => Promise.reject(new Error("disk full")));
    await expect(failing).rejects.toThrow("disk full");
    expect(await readdir(cache)).toEqual([]);
  });

  it("holds one, whole, when several builds make the same at once", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => store(folderOf(1))));
    for (const { path } of all) expect(await readFile(path, "utf8")).toBe("squashfs");
    expect(await readdir(cache)).toEqual([basename(folderOf(1))]);
  });

  it(`keeps the newest ${KEPT_PER_ARCHITECTURE} of each architecture and what was used lately`, async () => {
    for (let number = 1; number <= KEPT_PER_ARCHITECTURE + 2; number++) {
      for (const architecture of ["amd64", "arm64"]) {
        await store(folderOf(number, architecture));
        await age(folderOf(number, architecture), long * number);
      }
    }
    await readRootfs(folderOf(KEPT_PER_ARCHITECTURE + 2, "arm64"));
    await pruneRootfs(cache, now);
    const last = KEPT_PER_ARCHITECTURE;
    const expected = [
      ...Array.from({ length: last }, (_, index) => folderOf(index + 1)),
      // The one that was used is the newest now.
      ...Array.from({ length: last - 1 }, (_, index) => folderOf(index + 1, "arm64")),
      folderOf(last + 2, "arm64"),
    ];
    expect(await readdir(cache)).toEqual(expected.map((path) => basename(path)).sort());
  });

  it("keeps any number that may be in use", async () => {
    for (let number = 1; number <= 2 * KEPT_PER_ARCHITECTURE; number++) await store(folderOf(number));
    await pruneRootfs(cache, now);
    expect(await readdir(cache)).toHaveLength(2 * KEPT_PER_ARCHITECTURE);
  });

  it("removes what ended builds left behind, and nothing that is not its own", async () => {
    const names = {
      left: [`${basename(folderOf(1))}.part-aB3xYz`, `${basename(folderOf(2))}.old-0123abcd`],
      fresh: [`${basename(folderOf(3))}.part-QwErTy`],
      foreign: ["notes", "amd64-mine"],
    };
    for (const name of Object.values(names).flat()) {
      await mkdir(join(cache, name));
      await writeFile(join(cache, name, "file"), "");
      if (!names.fresh.includes(name)) await age(join(cache, name), 10 * long);
    }
    await pruneRootfs(cache, now);
    expect((await readdir(cache)).sort()).toEqual([...names.fresh, ...names.foreign].sort());
  });

  it("takes nothing away from a build that begins to use it, whoever is faster", async () => {
    for (let number = 1; number <= KEPT_PER_ARCHITECTURE; number++) await store(folderOf(number));
    const folder = folderOf(99);
    const outcomes = new Set<string>();
    for (let round = 0; round < 60; round++) {
      if (!(await readRootfs(folder))) await store(folder);
      await age(folder, long);
      const prune = () => Promise.all([pruneRootfs(cache, now), pruneRootfs(cache, now)]);
      const [read] = await Promise.all(
        round % 2 === 0 ? [readRootfs(folder), prune()] : [prune().then(() => readRootfs(folder))],
      );
      if (read) expect(await readFile(read.path, "utf8")).toBe("squashfs");
      outcomes.add(read ? "read" : "gone");
    }
    expect(outcomes).toEqual(new Set(["read", "gone"]));
  });
});
