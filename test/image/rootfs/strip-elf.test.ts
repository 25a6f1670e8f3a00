import { execFileSync, spawnSync } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ElfError } from "../../../image/rootfs/elf-segments.ts";
import { stripElf } from "../../../image/rootfs/strip-elf.ts";

const onLinux = process.platform === "linux";
const hasReadelf = spawnSync("readelf", ["--version"]).error === undefined;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-strip-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Uses what a shortened program would miss first: text of other languages, WebAssembly, native code, errors. */
const SCRIPT = `
  const { DatabaseSync } = require("node:sqlite");
  const wasm = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  const row = new DatabaseSync(":memory:").prepare("select 6 * 7 as n").get();
  const text = new TextDecoder("shift_jis").decode(Uint8Array.of(0x82, 0xa0));
  let stack = "";
  try { null.x; } catch (error) { stack = error.stack.split("\\n")[0]; }
  const hash = require("node:crypto").createHash("sha256").update("x").digest("hex").slice(0, 8);
  const zipped = require("node:zlib").zstdCompressSync("x").length > 0;
  console.log(JSON.stringify([row.n, text, "e\\u0301".normalize("NFC"), stack, hash, zipped, wasm instanceof WebAssembly.Module]));
`;

describe("stripElf", () => {
  it.skipIf(!onLinux)("leaves a Node that runs as before and is smaller (needs Linux)", async () => {
    const before = await readFile(process.execPath);
    const stripped = stripElf(before);
    expect(stripped.length).toBeLessThanOrEqual(before.length);
    const path = join(folder, "node");
    await writeFile(path, stripped);
    await chmod(path, 0o755);
    const run = (node: string) => execFileSync(node, ["--no-warnings", "-e", SCRIPT], { encoding: "utf8" });
    expect(run(path)).toBe(run(process.execPath));
    // All that is loaded is as it was.
    expect(Buffer.compare(stripped.subarray(64), before.subarray(64, stripped.length))).toBe(0);
  });

  it.skipIf(!onLinux || !hasReadelf)(
    "gives a file that readelf takes, without sections (needs binutils)",
    async () => {
      const path = join(folder, "stripped");
      await writeFile(path, stripElf(await readFile(process.execPath)));
      const show = (...args: string[]) => spawnSync("readelf", args, { encoding: "utf8" });
      expect(show("-S", path).stdout).toContain("There are no sections in this file");
      const { stdout, stderr } = show("-lW", path);
      expect(stderr).toBe("");
      expect(stdout).toContain("LOAD");
    },
  );

  it("refuses what is no program, and a program that is cut off", async () => {
    expect(() => stripElf(Buffer.alloc(64))).toThrow(ElfError);
    expect(() => stripElf(Buffer.from("\x7fELF"))).toThrow(ElfError);
    const elf = Buffer.alloc(64 + 56);
    elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    elf.writeBigUInt64LE(64n, 32); // e_phoff
    elf.writeUInt16LE(56, 54); // e_phentsize
    expect(() => stripElf(elf)).toThrow("list of segments");
    elf.writeUInt16LE(1, 56); // e_phnum
    expect(stripElf(elf).length).toBe(elf.length);
    elf.writeBigUInt64LE(BigInt(elf.length + 1), 64 + 32); // p_filesz
    expect(() => stripElf(elf)).toThrow("ends behind the end");
    elf.writeUInt16LE(9, 56);
    expect(() => stripElf(elf)).toThrow("list of segments");
  });
});
