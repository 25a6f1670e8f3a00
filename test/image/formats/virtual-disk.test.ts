/** qcow2 and VMDK files, judged by qemu-img(1), and read again after QEMU itself has written to them. */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

  test.skipIf(!hasQemuImg)("its head can be read after a machine has written to it", async () => {
    const raw = await rawImage(40 * PIECE_BYTES);
    const file = await convert(format, raw, GIBIBYTE);
    const text = join(folder, "written");
    await writeFile(text, Buffer.alloc(PIECE_BYTES * 2, "by a machine "));
    execFileSync("qemu-img", ["dd", "-f", "raw", "-O", format, `if=${text}`, `of=${file}.other`, "bs=64k"]);
    for (const path of [file, `${file}.other`]) {
      const expected = await readFile(path === file ? raw : text);
      await using disk = await open(path);
      const start = Buffer.alloc(4);
      await disk.read(start, 0, 4, 0);
      expect(formats[format].is(start)).toBe(true);
      const head = await formats[format].read(disk, 100_000);
      expect(head.equals(expected.subarray(0, 100_000))).toBe(true);
    }
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
