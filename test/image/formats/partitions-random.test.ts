/** The writers of partition tables on random disks, judged by sgdisk and sfdisk. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { buildGpt, GPT_TYPE } from "../../../image/formats/gpt.ts";
import { buildMbr, MBR_TYPE } from "../../../image/formats/mbr.ts";
import { type Region, writeRegions } from "../../../image/formats/regions.ts";

/** Each takes some 30 ms: one or two tools are started for every disk. */
const RANDOM_DISKS = 60;
/** Up to 4 TB: past what 32 bits of sectors can say. The files are sparse. */
const MAX_SECTORS = 2 ** 33;

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const has = (program: string) => spawnSync(program, ["--version"], { env: environment }).error === undefined;
const run = (program: string, ...rest: string[]) =>
  execFileSync(program, rest, { encoding: "utf8", env: environment, stdio: ["ignore", "pipe", "pipe"] });

// Some seconds each; a loaded machine takes many times as long.
vi.setConfig({ testTimeout: 240_000 });

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-partitions-random-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function written(sectors: number, regions: readonly Region[]): Promise<string> {
  const path = join(scratch, "disk.img");
  await rm(path, { force: true });
  await using file = await open(path, "w");
  await file.truncate(sectors * 512);
  await writeRegions(file, regions);
  return path;
}

type Place = { firstSector: number; sectors: number };

/** Up to `count` places apart from one another, in any order, between `first` and the disk's end less `reserved`. */
function places(count: number, diskSectors: fc.Arbitrary<number>, first: number, reserved: number) {
  return fc
    .record({ diskSectors, cuts: fc.array(fc.nat(MAX_SECTORS), { maxLength: count * 2 }) })
    .map(({ diskSectors, cuts }) => {
      const room = diskSectors - first - reserved;
      const marks = [...new Set(cuts.map((cut) => first + (cut % (room + 1))))].sort((a, b) => a - b);
      const found: Place[] = [];
      for (let i = 0; i + 1 < marks.length; i += 2) {
        found.push({ firstSector: marks[i]!, sectors: marks[i + 1]! - marks[i]! });
      }
      return { diskSectors, places: found };
    });
}

const uuid = fc.uuid().filter((text) => !/^0+-/.test(text));
const printable = fc.string({ unit: fc.constantFrom(..."abcXYZ019 -_.üж"), maxLength: 36 });

describe("buildGpt on random disks", () => {
  const disks = places(20, fc.integer({ min: 10_000, max: MAX_SECTORS }), 34, 33);

  it.skipIf(!has("sgdisk"))("satisfies sgdisk (needs gdisk)", async () => {
    await fc.assert(
      fc.asyncProperty(disks, fc.uniqueArray(uuid, { minLength: 21, maxLength: 21 }), async (disk, guids) => {
        const path = await written(
          disk.diskSectors,
          gpt(disk, guids, () => "x"),
        );
        expect(run("sgdisk", "-v", path)).toContain("No problems found");
      }),
      { numRuns: RANDOM_DISKS },
    );
  });

  it.skipIf(!has("sfdisk"))("says to sfdisk what was asked for (needs fdisk)", async () => {
    await fc.assert(
      fc.asyncProperty(
        disks,
        fc.uniqueArray(uuid, { minLength: 21, maxLength: 21 }),
        fc.array(printable, { minLength: 20, maxLength: 20 }),
        async (disk, guids, names) => {
          const path = await written(
            disk.diskSectors,
            gpt(disk, guids, (index) => names[index]!),
          );
          expect(spawnSync("sfdisk", ["--verify", path], { env: environment }).status).toBe(0);
          const { partitiontable } = JSON.parse(run("sfdisk", "--json", path));
          expect(partitiontable.id).toBe(guids.at(-1)!.toUpperCase());
          const found = (partitiontable.partitions ?? []) as Record<string, unknown>[];
          expect(found.map(({ start, size, uuid, name }) => [start, size, uuid, name ?? ""])).toEqual(
            disk.places.map(({ firstSector, sectors }, index) => [
              firstSector,
              sectors,
              guids[index]!.toUpperCase(),
              names[index],
            ]),
          );
        },
      ),
      { numRuns: RANDOM_DISKS },
    );
  });

  function gpt(
    { diskSectors, places }: { diskSectors: number; places: Place[] },
    guids: readonly string[],
    nameOf: (index: number) => string,
  ): Region[] {
    return buildGpt({
      diskSectors,
      diskGuid: guids.at(-1)!,
      partitions: places.map((place, index) => ({
        ...place,
        type: GPT_TYPE.linuxData,
        guid: guids[index]!,
        name: nameOf(index),
      })),
    });
  }
});

describe("buildMbr on random disks", () => {
  it.skipIf(!has("sfdisk"))("says to sfdisk what was asked for (needs fdisk)", async () => {
    const disks = places(4, fc.integer({ min: 100, max: 2 ** 32 - 1 }), 1, 0);
    await fc.assert(
      fc.asyncProperty(disks, fc.nat(0xffff_ffff), async ({ diskSectors, places }, diskId) => {
        const partitions = places.map((place) => ({ ...place, type: MBR_TYPE.linux }));
        const path = await written(diskSectors, buildMbr({ diskSectors, diskId, partitions }));
        const { partitiontable } = JSON.parse(run("sfdisk", "--json", path));
        expect(Number(partitiontable.id)).toBe(diskId);
        const found = (partitiontable.partitions ?? []) as { start: number; size: number }[];
        expect(found.map(({ start, size }) => [start, size])).toEqual(
          places.map(({ firstSector, sectors }) => [firstSector, sectors]),
        );
      }),
      { numRuns: RANDOM_DISKS },
    );
  });
});
