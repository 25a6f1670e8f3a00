/** What ./homing audit says to wrong arguments and to what is no image; ring 3 audits finished images. */
import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { runHoming } from "../../support/command-io.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-audit-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("./homing audit", () => {
  it("looks into a compressed image, and leaves nothing of what it saw", async () => {
    const image = Buffer.alloc(1024);
    image.writeUInt16LE(0xaa55, 510); // a partition table with nothing in it
    const path = join(folder, "a.img.zst");
    await writeFile(path, zstdCompressSync(image));
    const temporary = async () =>
      (await readdir(tmpdir())).filter((name) => name.startsWith("homing-audit-image-"));
    const before = await temporary();
    const { code, stderr } = await runHoming(["audit", path]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`${path} cannot be judged: it does not have the partitions of an image`),
    ]);
    expect(await temporary()).toEqual(before);
  });

  it.each([
    ["qcow2", "QFI\xfb\0\0\0\x03"],
    ["vmdk", "KDMV\x03\0\0\0"],
  ])("says that a %s holds no image as it is, and what to do", async (form, start) => {
    const path = join(folder, `a.${form}`);
    await writeFile(path, Buffer.concat([Buffer.from(start, "latin1"), Buffer.alloc(4096)]));
    const { code, stderr } = await runHoming(["audit", path]);
    expect([code, stderr]).toEqual([
      1,
      `homing: ${path} is a hypervisor's disk file; build the relay with --format raw for this\n`,
    ]);
  });

  it("says that the folder for temporary files is missing", async () => {
    const path = join(folder, "b.img.zst");
    await writeFile(path, zstdCompressSync(Buffer.alloc(1024)));
    vi.stubEnv("TMPDIR", join(folder, "missing"));
    try {
      const { code, stderr } = await runHoming(["audit", path]);
      expect([code, stderr]).toEqual([
        1,
        `homing: the folder for temporary files, ${join(folder, "missing")}, cannot be used: no such file or directory ` +
          "(ENOENT). Name another one in TMPDIR.\n",
      ]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it.each([
    [["audit"], "which image?"],
    [["audit", "a.img", "b.img"], "unexpected argument “b.img”"],
    [["audit", "a.img", "--jsonn"], "--jsonn"],
  ])("%j is a wrong use", async (args, text) => {
    const { code, stderr } = await runHoming(args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
  });

  it("says what cannot be judged and why, before it does any work", async () => {
    const missing = join(folder, "missing.img");
    const empty = join(folder, "empty.img");
    await writeFile(empty, "");
    await truncate(empty, 1 << 20);
    for (const [path, text] of [
      [missing, "cannot be judged: there is no such file; ./homing build makes images"],
      [empty, "cannot be judged: there is no partition table in it"],
    ] as const) {
      const { code, stdout, stderr } = await runHoming(["audit", path]);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toContain(path);
      expect(stderr).toContain(text);
      expect(stderr).not.toContain("Fetching");
    }
  });
});
