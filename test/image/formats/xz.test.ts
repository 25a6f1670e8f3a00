/** Tests of the .xz reader against files of the xz program, whole and damaged. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompressXz } from "../../../image/formats/xz.ts";
import { XzError, xzContentBytes } from "../../../image/formats/xz-stream.ts";

const hasXz = spawnSync("xz", ["--version"]).status === 0;

function compress(content: Uint8Array, ...options: string[]): Buffer {
  const made = spawnSync("xz", ["-c", ...options], { input: content, maxBuffer: 1 << 26 });
  if (made.status !== 0) throw new Error(made.stderr.toString());
  return made.stdout;
}

/** Half of it compresses well, half of it not at all. */
const content = Buffer.concat([Buffer.alloc(300_000, "pigeon"), randomBytes(300_000)]);

describe.skipIf(!hasXz)("files of the xz program (skipped where there is none)", () => {
  it.each([
    ["as Debian's packages have it", []],
    ["with CRC32", ["--check=crc32"]],
    ["as kernel modules have it", ["--check=crc32", "--lzma2=dict=2MiB"]],
    ["without a check", ["--check=none"]],
    ["of many blocks", ["--block-size=65536", "-T2"]],
  ])("are read %s", async (_what, options) => {
    const compressed = compress(content, ...options);
    expect(xzContentBytes(compressed)).toBe(content.length);
    expect(content.equals(await decompressXz(compressed))).toBe(true);
  });

  it("are refused with a filter for x86 code, saying so", async () => {
    const compressed = compress(content, "--x86", "--lzma2");
    await expect(decompressXz(compressed)).rejects.toThrow(/filters other than LZMA2/);
  });

  it("may hold nothing", async () => {
    expect(await decompressXz(compress(Buffer.alloc(0)))).toHaveLength(0);
  });

  it("are read many at once, each answer to its question", async () => {
    const contents = Array.from({ length: 20 }, (_, i) => Buffer.alloc(10_000 + i, String(i)));
    const read = await Promise.all(contents.map((one) => decompressXz(compress(one, "-0"))));
    expect(read.map((one, i) => contents[i]!.equals(one))).toEqual(contents.map(() => true));
  });

  it("are refused when damaged, and the next good one is read all the same", async () => {
    const compressed = compress(content);
    const flipped = Buffer.from(compressed);
    flipped[compressed.length >> 1]! ^= 1;
    await expect(decompressXz(flipped)).rejects.toThrow(/damaged/);
    expect(content.equals(await decompressXz(compressed))).toBe(true);
  });

  it.each([
    ["cut off", (whole: Buffer) => whole.subarray(0, -100), /footer is missing/],
    [
      "missing their middle",
      (whole: Buffer) => Buffer.concat([whole.subarray(0, 9999), whole.subarray(-64)]),
      /damaged/,
    ],
    ["two in one", (whole: Buffer) => Buffer.concat([whole, whole]), /several streams/],
    ["of no bytes", () => Buffer.alloc(0), /magic/],
    ["of another kind", () => Buffer.from("<html>404 not found</html>"), /magic/],
  ])("are refused %s", async (_what, change, message) => {
    await expect(decompressXz(change(compress(content)))).rejects.toThrow(message);
    await expect(decompressXz(change(compress(content)))).rejects.toHaveProperty("name", "XzError");
  });

  it("are given up at once when it is too late for them, whether at work or waiting", async () => {
    const compressed = compress(content);
    const abort = new AbortController();
    // As many as a kernel has modules: a thread for each would take half a minute.
    const many = Array.from({ length: 1000 }, () => decompressXz(compressed, abort.signal));
    abort.abort("SIGINT");
    const results = await Promise.allSettled(many);
    expect(new Set(results.map((result) => result.status === "rejected" && result.reason))).toEqual(
      new Set(["SIGINT"]),
    );
    await expect(decompressXz(compressed, abort.signal)).rejects.toBe("SIGINT");
    expect(content.equals(await decompressXz(compressed, new AbortController().signal))).toBe(true);
  });

  it("are refused or read whatever their index says, without asking for more memory than allowed", () => {
    const whole = compress(Buffer.alloc(100_000, "pigeon"), "--block-size=4096");
    const tail = fc.integer({ min: 12, max: 300 }); // where index and footer are
    fc.assert(
      fc.property(tail, fc.uint8Array({ minLength: 1, maxLength: 12 }), (fromEnd, bytes) => {
        const changed = Buffer.from(whole);
        changed.set(bytes, changed.length - fromEnd);
        try {
          expect(xzContentBytes(changed)).toBeLessThanOrEqual(1 << 30);
        } catch (error) {
          expect(error).toBeInstanceOf(XzError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
