/** `./homing flash` from its arguments to a written disk: a loop device with the head of a real image. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { constants, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "../../../installer/main.ts";
import { captureStream, runHoming } from "../../support/command-io.ts";
import { bytesAt, noLoopDisk, onLoopDisk } from "../../support/loop-disk.ts";
import {
  DATA_PARTITION_TYPE,
  makeSmallImage,
  markAsBooted,
  SMALL_IMAGE_BYTES,
} from "../../support/small-image.ts";

const DISK_BYTES = 2_000_000_000 - (2_000_000_000 % 4096);
let folder: string;
let image: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-flash-"));
  image = join(folder, "relay.img");
  await makeSmallImage(image);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the command with somebody at the terminal who types these lines. */
async function typing(args: readonly string[], ...lines: readonly string[]) {
  const stdout = captureStream();
  const stderr = captureStream();
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const ask = stderr.write.bind(stderr);
  const rest = [...lines];
  // Each line when it is asked for, as a person would.
  stderr.write = ((chunk: string, ...more: []) => {
    if (/: $/.test(chunk) && rest.length > 0) setImmediate(() => stdin.write(`${rest.shift()}\r`));
    return ask(chunk, ...more);
  }) as typeof stderr.write;
  const signal = new AbortController().signal;
  const code = await main(["flash", ...args], { stdin, stdout, stderr, env: process.env, signal });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

test("writes after two questions, and says what to do next", async ({ skip }) => {
  const ran = await onLoopDisk(DISK_BYTES, async ({ device, file }) => {
    const done = await typing([image, device], "yes", device);
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining("holds the relay now") });
    expect(await bytesAt(file, 0, SMALL_IMAGE_BYTES)).toEqual(await bytesAt(image, 0, SMALL_IMAGE_BYTES));
  });
  if (!ran) skip(noLoopDisk);
});

test.for([["no"], ["yes", "/dev/sdz"]])(
  "writes nothing when the answers are %j",
  async (answers, { skip }) => {
    const ran = await onLoopDisk(DISK_BYTES, async ({ device, file }) => {
      const done = await typing([image, device], ...answers);
      expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining("nothing was written") });
      expect((await bytesAt(file, 0, SMALL_IMAGE_BYTES)).every((byte) => byte === 0)).toBe(true);
    });
    if (!ran) skip(noLoopDisk);
  },
);

test("tells scripts what it did, from a compressed image", async ({ skip }) => {
  const compressed = `${image}.zst`;
  const content = await bytesAt(image, 0, SMALL_IMAGE_BYTES);
  const frame = zstdCompressSync(content, {
    pledgedSrcSize: content.length,
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
  });
  await writeFile(compressed, frame);
  const ran = await onLoopDisk(DISK_BYTES, async ({ device, file }) => {
    const { code, stdout } = await runHoming(["flash", compressed, device, "--yes", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toMatchObject({
      event: "done",
      device,
      bytes: SMALL_IMAGE_BYTES,
    });
    expect(await bytesAt(file, 0, SMALL_IMAGE_BYTES)).toEqual(content);
  });
  if (!ran) skip(noLoopDisk);
});

test("keeps a relay that has been running unless it is given up", async ({ skip }) => {
  const ran = await onLoopDisk(DISK_BYTES, async ({ device, file }) => {
    await writeFile(file, await bytesAt(image, 0, SMALL_IMAGE_BYTES));
    await truncate(file, DISK_BYTES);
    await markAsBooted(file);
    const refused = await runHoming(["flash", image, device, "--yes"]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("accounts and mail would be lost"),
    });
    expect((await bytesAt(file, DATA_PARTITION_TYPE, 1))[0]).toBe(0x83);
    expect(await runHoming(["flash", image, device, "--yes", "--replace"])).toMatchObject({ code: 0 });
    expect((await bytesAt(file, DATA_PARTITION_TYPE, 1))[0]).toBe(0);
  });
  if (!ran) skip(noLoopDisk);
});

test("refuses a disk that is too small, and names it in the list with the reason", async ({ skip }) => {
  const ran = await onLoopDisk(32 << 20, async ({ device }) => {
    const refused = await runHoming(["flash", image, device, "--yes"]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("too small") });
    const { stdout } = await runHoming(["flash", image, "--list", "--json"]);
    const disks = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(disks).toContainEqual(
      expect.objectContaining({ device, bytes: 32 << 20, refused: expect.stringContaining("too small") }),
    );
  });
  if (!ran) skip(noLoopDisk);
});

test("never writes to the disk that this computer runs from", async ({ skip }) => {
  const { stdout } = await runHoming(["flash", image, "--list", "--json"]);
  const disks = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { device: string; refused: string });
  const system = disks.find(({ refused }) => refused === "this computer runs from it");
  if (system === undefined) return skip("the root file system is on no disk of its own here");
  expect(await runHoming(["flash", image, system.device, "--yes"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("this computer runs from it"),
  });
});

test.each([
  ["without an image", [], 2, "which image?"],
  ["with --yes and no disk", ["IMAGE", "--yes"], 2, "which disk?"],
  ["with a third name", ["IMAGE", "/dev/a", "/dev/b"], 2, "unexpected argument"],
  ["with an image that is not there", ["no-such.img", "/dev/a"], 1, "there is no image"],
  ["with a folder", [".", "/dev/a"], 1, "is no image file"],
  ["with another file", [import.meta.filename, "/dev/a"], 1, "is no disk image made by Homing"],
  ["with a disk that is not there", ["IMAGE", "/dev/no-such", "--yes"], 1, "there is no disk /dev/no-such"],
])("says what is wrong %s", async (_, args, code, text) => {
  const words = args.map((word) => (word === "IMAGE" ? image : word));
  const done = await runHoming(["flash", ...words]);
  expect(done).toMatchObject({ code, stderr: expect.stringContaining(text) });
});
