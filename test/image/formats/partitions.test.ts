/** The writers of partition tables, GPT and MBR, judged by sfdisk and sgdisk. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildGpt, GPT_ATTRIBUTE, GPT_TYPE, type GptOptions } from "../../../image/formats/gpt.ts";
import { buildMbr, MBR_TYPE, type MbrOptions } from "../../../image/formats/mbr.ts";
import { type Region, writeRegions } from "../../../image/formats/regions.ts";

const has = (program: string) => ["/usr/sbin", "/sbin", "/usr/bin"].some((d) => existsSync(join(d, program)));
const run = (program: string, ...rest: string[]) =>
  execFileSync(program, rest, {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    stdio: ["ignore", "pipe", "pipe"],
  });

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-partitions-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function writeDisk(name: string, sectors: number, regions: Region[]): Promise<string> {
  const path = join(scratch, name);
  await using file = await open(path, "w");
  await file.truncate(sectors * 512);
  await writeRegions(file, regions);
  return path;
}

const GPT: GptOptions = {
  diskSectors: 4_000_000,
  diskGuid: "7a5c1d2e-0000-4000-8000-000000000001",
  partitions: [
    {
      type: GPT_TYPE.efiSystem,
      guid: "7a5c1d2e-0000-4000-8000-000000000002",
      name: "boot",
      firstSector: 2048,
      sectors: 262_144,
      attributes: GPT_ATTRIBUTE.legacyBiosBootable | GPT_ATTRIBUTE.required,
    },
    {
      type: GPT_TYPE.rootAmd64,
      guid: "7a5c1d2e-0000-4000-8000-000000000003",
      name: "root-a ü",
      firstSector: 264_192,
      sectors: 786_432,
      attributes: GPT_ATTRIBUTE.noAutomaticMount | GPT_ATTRIBUTE.readOnly,
    },
    {
      type: GPT_TYPE.linuxData,
      guid: "7a5c1d2e-0000-4000-8000-000000000004",
      name: "n".repeat(36),
      firstSector: 1_050_624,
      // Up to the last usable sector.
      sectors: 4_000_000 - 34 - 1_050_624 + 1,
    },
  ],
};

describe("buildGpt", () => {
  it.skipIf(!has("sgdisk"))("satisfies sgdisk (needs gdisk)", async () => {
    const disk = await writeDisk("gpt.img", GPT.diskSectors, buildGpt(GPT));
    expect(run("sgdisk", "-v", disk)).toContain("No problems found");
    expect(run("sgdisk", "-i", "1", disk)).toContain("Attribute flags: 0000000000000005");
  });

  it.skipIf(!has("sfdisk"))("says to sfdisk what was asked for (needs fdisk)", async () => {
    const disk = await writeDisk("gpt-sfdisk.img", GPT.diskSectors, buildGpt(GPT));
    expect(run("sfdisk", "--verify", disk)).toContain("No errors detected");
    const { partitiontable } = JSON.parse(run("sfdisk", "--json", disk));
    expect(partitiontable).toMatchObject({
      label: "gpt",
      id: GPT.diskGuid.toUpperCase(),
      firstlba: 34,
      lastlba: GPT.diskSectors - 34,
      partitions: GPT.partitions.map(({ type, guid, name, firstSector, sectors }) => ({
        start: firstSector,
        size: sectors,
        type: type.toUpperCase(),
        uuid: guid.toUpperCase(),
        name,
      })),
    });
    expect(partitiontable.partitions.map(({ attrs }: { attrs?: string }) => attrs)).toEqual([
      "RequiredPartition LegacyBIOSBootable",
      "GUID:60,63",
      undefined,
    ]);
  });

  it.skipIf(!has("sfdisk"))("is still found when only the backup is left (needs fdisk)", async () => {
    const [protective, , , backupEntries, backupHeader] = buildGpt(GPT);
    const disk = await writeDisk("backup.img", GPT.diskSectors, [protective!, backupEntries!, backupHeader!]);
    const { partitiontable } = JSON.parse(run("sfdisk", "--json", disk));
    expect(partitiontable.partitions.map(({ name }: { name: string }) => name)).toEqual(
      GPT.partitions.map(({ name }) => name),
    );
  });

  it("refuses partitions that overlap, reach into the tables or carry no GUID", () => {
    const with_ = (change: object) => () =>
      buildGpt({ ...GPT, partitions: [GPT.partitions[0]!, { ...GPT.partitions[1]!, ...change }] });
    expect(with_({ firstSector: 264_191 })).toThrow(/partition 2 .* overlaps partition 1/);
    expect(with_({ firstSector: 33, sectors: 10 })).toThrow("within the usable sectors 34 to 3999966");
    expect(with_({ firstSector: 3_999_000, sectors: 968 })).toThrow("does not lie within");
    expect(with_({ sectors: 0 })).toThrow("at least one");
    expect(with_({ guid: "root" })).toThrow('"root" is not a GUID');
    expect(with_({ guid: GPT.partitions[0]!.guid.toUpperCase() })).toThrow(
      "two GUIDs of the disk are the same",
    );
    expect(with_({ name: "n".repeat(37) })).toThrow("at most 36 characters");
  });
});

const MBR: MbrOptions = {
  // Past the 8 GB that cylinders, heads and sectors can address.
  diskSectors: 40_000_000,
  diskId: 0x484f4d45,
  partitions: [
    { type: MBR_TYPE.fat32Lba, firstSector: 2048, sectors: 524_288, active: true },
    { type: MBR_TYPE.linux, firstSector: 526_336, sectors: 786_432 },
    { type: MBR_TYPE.linux, firstSector: 1_312_768, sectors: 786_432 },
    { type: MBR_TYPE.linux, firstSector: 20_000_000, sectors: 20_000_000 },
  ],
};

describe("buildMbr", () => {
  it.skipIf(!has("sfdisk"))("says to sfdisk what was asked for (needs fdisk)", async () => {
    const disk = await writeDisk("mbr.img", MBR.diskSectors, buildMbr(MBR));
    expect(run("sfdisk", "--verify", disk)).toContain("No errors detected");
    const { partitiontable } = JSON.parse(run("sfdisk", "--json", disk));
    expect(partitiontable).toMatchObject({
      label: "dos",
      id: "0x484f4d45",
      partitions: MBR.partitions.map(({ type, firstSector, sectors, active }) => ({
        start: firstSector,
        size: sectors,
        type: type.toString(16),
        ...(active && { bootable: true }),
      })),
    });
  });

  it("keeps boot code and disk signature where the BIOS and Linux look for them", () => {
    const [region] = buildMbr({ ...MBR, bootCode: Buffer.alloc(440, 0xcc) });
    const sector = Buffer.from(region!.bytes);
    expect(sector.subarray(0, 440).every((byte) => byte === 0xcc)).toBe(true);
    expect(sector.subarray(440, 446).toString("hex")).toBe("454d4f480000");
    expect(sector.readUInt16LE(510)).toBe(0xaa55);
  });

  it("refuses a fifth partition, overlaps and what lies past the end", () => {
    const [first, second] = MBR.partitions;
    expect(() => buildMbr({ ...MBR, partitions: [...MBR.partitions, first!] })).toThrow("at most 4 primary");
    expect(() => buildMbr({ ...MBR, partitions: [second!, second!] })).toThrow("overlaps partition 1");
    expect(() => buildMbr({ ...MBR, diskSectors: 30_000_000 })).toThrow("partition 4");
    expect(() => buildMbr({ ...MBR, partitions: [{ ...first!, firstSector: 0 }] })).toThrow(
      "does not lie within",
    );
    expect(() => buildMbr({ ...MBR, bootCode: new Uint8Array(441) })).toThrow("boot code of 441 bytes");
  });
});
