/** The FAT32 writer on random and extreme volumes, judged by fsck.vfat and mtools. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { buildFat32, type Fat32Volume } from "../../../image/formats/fat32.ts";
import { writeRegions } from "../../../image/formats/regions.ts";
import { noise } from "./random-tree.ts";

const OPTIONS = { sizeBytes: 40 * 2 ** 20, label: "HOMING", volumeId: 0x2024_0911, time: 1_790_000_000 };
/** Each takes a tenth of a second: two tools are started for every volume. */
const RANDOM_VOLUMES = 40;
/** In folders of a thousand; each takes up to five directory entries. */
const MANY_FILES = 100_000;

const has = (program: string) => spawnSync(program, ["--version"], { env: environment }).error === undefined;
const environment = {
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
  TZ: "UTC",
};
const missing = ["fsck.vfat", "mcopy"].filter((program) => !has(program));
const needs = missing.length > 0 ? ` (needs ${missing.join(" and ")})` : "";

// Some seconds each; a loaded machine takes many times as long.
vi.setConfig({ testTimeout: 240_000 });

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-fat32-random-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function written(volume: Fat32Volume): Promise<string> {
  const path = join(scratch, "volume.img");
  await rm(path, { force: true });
  await using file = await open(path, "w");
  await file.truncate(volume.sizeBytes);
  await writeRegions(file, volume.regions);
  return path;
}

function fsck(image: string): string {
  return execFileSync("fsck.vfat", ["-n", "-v", image], { encoding: "utf8", env: environment });
}

/**
 * Letters and signs that FAT takes, some of which no short name can hold; upper and lower case. None beyond the basic
 * plane: mtools knows no surrogates (the kernel does).
 */
const LETTERS = [..."abcXYZ019 .-_~+=[];,éÉßöЖж東"];
const name = fc
  .oneof(
    { weight: 6, arbitrary: fc.array(fc.constantFrom(...LETTERS), { minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: fc.array(fc.constantFrom(...LETTERS), { minLength: 120, maxLength: 120 }) },
    { weight: 1, arbitrary: fc.constantFrom(["n".repeat(255)], ["LONGNAME.TXT"], ["longna~1.txt"]) },
  )
  .map((letters) => letters.join(""))
  .filter((text) => !/[. ]$|^ /.test(text) && !/^\.+$/.test(text));

const content = fc
  .record({
    size: fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 4096, 100_000), fc.nat(3000)),
    seed: fc.nat(5),
  })
  .map(({ size, seed }) => noise(`${seed}`, size));

/** Files in folders; what would be one name on FAT, or a file in a file, is left away. */
const files = fc
  .array(fc.record({ path: fc.array(name, { minLength: 1, maxLength: 4 }), content }), { maxLength: 40 })
  .map((entries) => {
    const taken = new Map<string, string>();
    const result = new Map<string, Buffer>();
    for (const { path, content } of entries) {
      const claims = path.map((_, depth): [string, string] => {
        const here = path.slice(0, depth + 1).join("/");
        return [here.toUpperCase(), depth === path.length - 1 ? `file ${here}` : `folder ${here}`];
      });
      const isFree = claims.every(([folded, claim], depth) => {
        const before = taken.get(folded);
        return depth < path.length - 1 ? before === undefined || before === claim : before === undefined;
      });
      if (!isFree) continue;
      for (const [folded, claim] of claims) taken.set(folded, claim);
      result.set(path.join("/"), content);
    }
    return result;
  });

async function filesBelow(folder: string, prefix = ""): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory())
      for (const [below, content] of await filesBelow(folder, path)) found.set(below, content);
    else found.set(path, await readFile(join(folder, path)));
  }
  return found;
}

describe.skipIf(missing.length > 0)(`buildFat32${needs}`, () => {
  it("makes sound volumes of random files, which mtools reads back with their names", async () => {
    await fc.assert(
      fc.asyncProperty(files, async (files) => {
        const image = await written(buildFat32(files, OPTIONS));
        expect(fsck(image)).not.toMatch(/differ|wrong|dirty|orphan|Auto-|bad|duplicate/i);
        const target = await mkdtemp(join(scratch, "mcopy-"));
        if (files.size > 0) {
          execFileSync("mcopy", ["-i", image, "-s", "-n", "::", target], { env: environment, stdio: "pipe" });
        }
        const found = await filesBelow(target);
        expect([...found.keys()].sort()).toEqual([...files.keys()].sort());
        for (const [path, content] of files) expect(found.get(path)!.equals(content), path).toBe(true);
        await rm(target, { recursive: true });
      }),
      { numRuns: RANDOM_VOLUMES },
    );
  });

  it("takes 100,000 files, and as many long names in one folder as FAT allows", async () => {
    const many = new Map<string, Buffer>();
    for (let i = 0; i < MANY_FILES; i++) {
      many.set(`folder ${Math.floor(i / 1000)}/a file with a long name, number ${i}`, Buffer.from(`${i}`));
    }
    const image = await written(buildFat32(many, { ...OPTIONS, sizeBytes: 2 ** 28 }));
    expect(fsck(image)).toMatch(/: 100101 files, /);
    const type = (path: string) => execFileSync("mtype", ["-i", image, `::${path}`], { env: environment });
    expect(type("folder 77/a file with a long name, number 77777").toString()).toBe("77777");

    // fatgen103: a folder has at most 65,536 entries of 32 bytes; each of these takes two.
    const full = (count: number) =>
      new Map(Array.from({ length: count }, (_, i) => [`f/longer ${i}`, Buffer.alloc(0)] as const));
    // "." and ".." are entries too.
    expect(fsck(await written(buildFat32(full(32_767), OPTIONS)))).toMatch(/: 32769 files, /);
    expect(() => buildFat32(full(32_768), OPTIONS)).toThrow(/f.* at most 65536 entries/);
  });

  it("takes a file that fills the volume to the last cluster", async () => {
    const empty = buildFat32(new Map(), OPTIONS);
    const whole = Buffer.alloc(empty.freeBytes, "x");
    const volume = buildFat32(new Map([["whole", whole]]), OPTIONS);
    expect(volume.freeBytes).toBe(0);
    const image = await written(volume);
    expect(fsck(image)).not.toMatch(/differ|wrong|dirty|orphan/i);
    const target = join(scratch, "whole");
    execFileSync("mcopy", ["-i", image, "-n", "::whole", target], { env: environment });
    expect((await stat(target)).size).toBe(whole.length);
    const larger = new Map([["whole", Buffer.alloc(whole.length + 1)]]);
    expect(() => buildFat32(larger, OPTIONS)).toThrow(/holds only/);
  });
});
