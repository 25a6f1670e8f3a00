import { spawnSync } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readVerdict } from "../../appliance/canary.ts";
import { readOthersFile } from "../../appliance/others-file.ts";

describe.skipIf(process.platform === "win32")("a file of somebody else", () => {
  let folder: string;
  let path: string;
  let reasons: string[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-others-"));
    path = join(folder, "problem");
    reasons = [];
  });
  afterEach(() => rm(folder, { recursive: true }));
  const read = () => readOthersFile(path, (reason) => reasons.push(reason));

  it("is read as it is, and may be missing", async () => {
    expect(read()).toBeUndefined();
    await writeFile(path, "Forward port 80.\n");
    expect(read()).toBe("Forward port 80.\n");
    expect(reasons).toEqual([]);
  });

  it("leads to no other by a link", async () => {
    await writeFile(join(folder, "key"), "secret");
    await symlink(join(folder, "key"), path);
    expect(read()).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("ELOOP")]);
  });

  it("holds nobody up as a pipe", () => {
    expect(spawnSync("mkfifo", [path]).status).toBe(0);
    expect(read()).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("it is no file")]);
  });

  it("is left out when it is large", async () => {
    await writeFile(path, Buffer.alloc(65_537));
    expect(read()).toBeUndefined();
    expect(reasons).toEqual([expect.stringContaining("65536 bytes")]);
  });
});

describe("the canary's verdict", () => {
  const step = { name: "dns", ok: false, seconds: 1, detail: "no A", mend: "publish it" };
  const verdict = { time: 1, ok: false, works: true, steps: [step] };

  it("is read as it was written", () => {
    expect(readVerdict(JSON.stringify(verdict))).toEqual(verdict);
  });

  it.each([
    undefined,
    "",
    "null",
    "{}",
    '{"time":1,"steps":[null]}',
    JSON.stringify({ ...verdict, time: "1" }),
    JSON.stringify({ ...verdict, steps: [{ ...step, name: "x" }] }),
    JSON.stringify({ ...verdict, steps: [{ ...step, mend: { toString: 1 } }] }),
  ])("is none for %s", (text) => {
    expect(readVerdict(text)).toBeUndefined();
  });
});
