/** Tests of the tar reader against archives of GNU tar, and against damaged ones. */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTar, TarError } from "../../../image/formats/tar.ts";

const hasTar = spawnSync("tar", ["--version"], { encoding: "utf8" }).stdout?.includes("GNU tar") ?? false;
const longDirectory = `${"d".repeat(90)}/${"e".repeat(90)}`;
const longName = `${longDirectory}/${"n".repeat(120)}`;
const longTarget = "t/".repeat(80);
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-tar-"));
  mkdirSync(join(folder, "in", longDirectory), { recursive: true });
  const put = (name: string, content: string, mode: number) =>
    writeFileSync(join(folder, "in", name), content, { mode });
  put("plain", "hello", 0o640);
  put("empty", "", 0o644);
  put("block", "x".repeat(1024), 0o755);
  symlinkSync("plain", join(folder, "in/link"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function tar(format: string, ...names: string[]): Buffer {
  const fixed = ["--numeric-owner", "--owner=root:0", "--group=shadow:42", "--mtime=@1700000000"];
  const made = spawnSync("tar", ["-C", join(folder, "in"), `--format=${format}`, ...fixed, "-c", ...names], {
    maxBuffer: 1 << 24,
  });
  if (made.status !== 0) throw new Error(made.stderr.toString());
  return made.stdout;
}

describe.skipIf(!hasTar)("archives of GNU tar (skipped where there is none)", () => {
  it.each(["v7", "ustar", "gnu", "oldgnu", "pax"])("reads the %s format", (format) => {
    const entries = readTar(tar(format, "./plain", "./empty", "./block", "./link"));
    const common = { uid: 0, gid: 42, time: 1_700_000_000 };
    expect(entries).toMatchObject([
      { path: "plain", type: "file", mode: 0o640, target: "", ...common },
      { path: "empty", type: "file", mode: 0o644, ...common },
      { path: "block", type: "file", mode: 0o755, ...common },
      { path: "link", type: "symlink", target: "plain", ...common },
    ]);
    expect(entries.map(({ content }) => Buffer.from(content).toString())).toEqual([
      "hello",
      "",
      "x".repeat(1024),
      "",
    ]);
  });

  it.each(["gnu", "pax"])(
    "reads names and targets of any length, and hard links, in the %s format",
    (format) => {
      writeFileSync(join(folder, "in", longName), "deep");
      linkSync(join(folder, "in", longName), join(folder, "in", `${longName}2`));
      symlinkSync(longTarget, join(folder, "in", `${longName}3`));
      const entries = readTar(tar(format, "."));
      for (const suffix of ["", "2", "3"]) rmSync(join(folder, "in", `${longName}${suffix}`));
      const deep = entries.filter(({ path }) => path.startsWith(longName));
      const file = deep.find(({ type }) => type === "file")!;
      const hardLink = deep.find(({ type }) => type === "hardlink")!;
      expect(Buffer.from(file.content).toString()).toBe("deep");
      expect(hardLink.target).toBe(file.path);
      expect(hardLink.content).toHaveLength(0);
      expect(deep.find(({ type }) => type === "symlink")).toMatchObject({
        path: `${longName}3`,
        target: longTarget,
      });
      expect(entries.find(({ path }) => path === "")).toMatchObject({ type: "directory" });
      expect(entries.find(({ path }) => path === longDirectory)).toMatchObject({ type: "directory" });
    },
  );

  it("reads a fifo", () => {
    spawnSync("mkfifo", [join(folder, "in/pipe")]);
    expect(readTar(tar("gnu", "pipe"))).toMatchObject([{ path: "pipe", type: "fifo" }]);
  });

  it("refuses an archive cut off anywhere", () => {
    const whole = tar("gnu", "plain", "block");
    for (const length of [0, 100, 512, 700, 1024, 1536, 2048, 2559]) {
      expect(() => readTar(whole.subarray(0, length)), `after ${length} bytes`).toThrow(TarError);
    }
  });

  it("refuses a header whose checksum is wrong", () => {
    const bytes = tar("gnu", "plain");
    bytes[0] = 0x71;
    expect(() => readTar(bytes)).toThrow(/checksum of the header at byte 0/);
  });

  it("refuses names that lead out of the archive's root", () => {
    const transform = (name: string) =>
      spawnSync("tar", ["-C", join(folder, "in"), "-P", `--transform=s,plain,${name},`, "-c", "plain"])
        .stdout;
    expect(() => readTar(transform("../plain"))).toThrow(/leaves the archive's root/);
    expect(() => readTar(transform("/etc/plain"))).toThrow(/leaves the archive's root/);
  });

  it("refuses extended attributes, which an image could not keep", () => {
    const made = spawnSync("tar", [
      ...["-C", join(folder, "in"), "--format=pax", "-c", "plain"],
      "--pax-option=SCHILY.xattr.security.capability:=x",
    ]);
    expect(() => readTar(made.stdout)).toThrow(/extended attributes.*SCHILY\.xattr\.security\.capability/);
  });

  it("reads numbers in base 256", () => {
    const made = spawnSync("tar", [
      "-C",
      join(folder, "in"),
      "--owner=x:3000000",
      "--format=gnu",
      "-c",
      "plain",
    ]);
    expect(readTar(made.stdout)[0]).toMatchObject({ uid: 3_000_000, userName: "x" });
  });

  it("refuses or reads any damaged archive, but never fails otherwise", () => {
    const whole = tar("pax", ".");
    const run = fc.uint8Array({ minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.nat(whole.length - 20), run, fc.boolean(), (at, values, mendChecksum) => {
        const bytes = Buffer.from(whole);
        bytes.set(values, at);
        if (mendChecksum) setChecksum(bytes.subarray(at - (at % 512), at - (at % 512) + 512));
        try {
          for (const { path, uid, gid, time } of readTar(bytes)) {
            expect(path.split("/")).not.toContain("..");
            expect([uid, gid, time].every(Number.isSafeInteger)).toBe(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(TarError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

function setChecksum(header: Buffer): void {
  header.write(" ".repeat(8), 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
