/** qcow2 and VMDK files, judged by qemu-img(1), and read again after QEMU itself has written to them. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isQcow2, readQcow2, writeQcow2 } from "../../../image/formats/qcow2.ts";
import { PIECE_BYTES } from "../../../image/formats/virtual-disk.ts";
import { isVmdk, readVmdk, writeVmdk } from "../../../image/formats/vmdk.ts";

const hasQemuImg = spawnSync("qemu-img", ["--version"]).error === undefined;
const GIBIBYTE = 2 ** 30;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-virtual-disk-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const qemuImg = (...args: string[]) => execFileSync("qemu-img", args, { encoding: "utf8" });

const formats = {
  qcow2: { write: writeQcow2, read: readQcow2, is: isQcow2 },
  vmdk: { write: writeVmdk, read: readVmdk, is: isVmdk },
} as const;

/** A raw image with pieces at its start, in its midst, at its end, and one of zeros. */
async function rawImage(bytes: number): Promise<string> {
  const path = join(folder, `raw-${bytes}`);
  await using file = await open(path, "w");
  await file.truncate(bytes);
  for (const position of [0, 5 * PIECE_BYTES + 7, Math.floor(bytes / 2), bytes - 1]) {
    const piece = randomBytes(Math.max(0, Math.min(PIECE_BYTES, bytes - position)));
    await file.write(piece, 0, piece.length, position);
  }
  return path;
}

async function convert(format: keyof typeof formats, raw: string, diskBytes: number): Promise<string> {
  const name = `${format}-${diskBytes}.${format}`;
  await using source = await open(raw);
  await using target = await open(join(folder, name), "w+");
  const sourceBytes = (await source.stat()).size;
  await formats[format].write({ source, sourceBytes, diskBytes, target, name });
  return join(folder, name);
}

test("VMDK tells images apart by a number that follows their content", async () => {
  const idOf = async () => {
    const text = (await readFile(await convert("vmdk", await rawImage(40 * PIECE_BYTES), GIBIBYTE))).toString(
      "latin1",
    );
    return /^CID=([0-9a-e][0-9a-f]{7})$/m.exec(text)?.[1];
  };
  const first = await idOf();
  expect(first).toBeDefined();
  // The same places, other bytes.
  expect(await idOf()).not.toBe(first);
});

describe.each(["qcow2", "vmdk"] as const)("%s", (format) => {
  test.skipIf(!hasQemuImg).each([
    ["one piece", PIECE_BYTES, PIECE_BYTES],
    ["an image whose end is no whole piece", 40 * PIECE_BYTES + 512, 41 * PIECE_BYTES],
    ["a disk larger than the image", 40 * PIECE_BYTES, 8 * GIBIBYTE],
    ["a disk whose counts fill several clusters", 40 * PIECE_BYTES, 70 * GIBIBYTE],
  ])("qemu-img finds %s whole and the same", async (_, imageBytes, diskBytes) => {
    const raw = await rawImage(imageBytes);
    const file = await convert(format, raw, diskBytes);
    expect(qemuImg("check", "-f", format, file)).toContain("No errors were found");
    expect(qemuImg("compare", "-f", "raw", "-F", format, raw, file)).toContain("Images are identical");
    const info = JSON.parse(qemuImg("info", "--output=json", file)) as Record<string, unknown>;
    expect(info).toMatchObject({ format, "virtual-size": diskBytes });
    await rm(file);
  });

  test("the same image gives the same bytes", async () => {
    const raw = await rawImage(40 * PIECE_BYTES);
    const first = await readFile(await convert(format, raw, GIBIBYTE));
    expect((await readFile(await convert(format, raw, GIBIBYTE))).equals(first)).toBe(true);
  });

  test.skipIf(!hasQemuImg)("its head can be read after a machine has written to a copy of it", async () => {
    const raw = await rawImage(40 * PIECE_BYTES);
    const file = await convert(format, raw, GIBIBYTE);
    const used = `${file}.used`;
    await copyFile(file, used);
    // Into a piece that is there, and over the border into one that has to be made.
    const writes = ["write -P 0x5a 512 1024", "write -P 0xa5 65024 1024", "write -P 0x33 300M 64k"];
    execFileSync("qemu-io", ["-f", format, ...writes.flatMap((write) => ["-c", write]), used]);
    const expected = (await readFile(raw)).subarray(0, 2 * PIECE_BYTES);
    expected.fill(0x5a, 512, 512 + 1024);
    expected.fill(0xa5, 65_024, 65_024 + 1024);
    expect(qemuImg("check", "-f", format, used)).toContain("No errors were found");
    await using disk = await open(used);
    const start = Buffer.alloc(4);
    await disk.read(start, 0, 4, 0);
    expect(formats[format].is(start)).toBe(true);
    expect((await formats[format].read(disk, expected.length)).equals(expected)).toBe(true);
  });

  test.skipIf(!hasQemuImg)("the head of one that QEMU made can be read", async () => {
    const raw = await rawImage(40 * PIECE_BYTES);
    const made = join(folder, `made.${format}`);
    qemuImg("convert", "-f", "raw", "-O", format, raw, made);
    await using disk = await open(made);
    const head = await formats[format].read(disk, 100_000);
    expect(head.equals((await readFile(raw)).subarray(0, 100_000))).toBe(true);
  });

  test.skipIf(!hasQemuImg)("qemu-img finds any image the same", async () => {
    const images = fc.record({
      sectors: fc.integer({ min: 1, max: 60 * (PIECE_BYTES / 512) }),
      places: fc.array(fc.nat({ max: 60 * PIECE_BYTES }), { maxLength: 6 }),
      spare: fc.nat({ max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(images, async ({ sectors, places, spare }) => {
        const bytes = sectors * 512;
        const raw = join(folder, "any.img");
        const content = Buffer.alloc(bytes);
        for (const place of places)
          content.fill("any text ", Math.min(place, bytes), Math.min(place + 1000, bytes));
        await writeFile(raw, content);
        const file = await convert(format, raw, (Math.ceil(bytes / PIECE_BYTES) + spare) * PIECE_BYTES);
        expect(qemuImg("compare", "-f", "raw", "-F", format, raw, file)).toContain("Images are identical");
        expect(qemuImg("check", "-f", format, file)).toContain("No errors were found");
      }),
      { numRuns: 8 },
    );
  });

  test("a file of damage alone reads as something, and ends", async () => {
    const path = join(folder, `damaged.${format}`);
    for (let round = 0; round < 20; round++) {
      await writeFile(path, randomBytes(200));
      await using disk = await open(path);
      expect(await formats[format].read(disk, 100_000)).toHaveLength(100_000);
    }
  });
});
