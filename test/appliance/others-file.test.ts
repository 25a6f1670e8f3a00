import { spawnSync } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readVerdict } from "../../appliance/canary.ts";
import { type CertificateReport, isCertificateReport } from "../../appliance/certificate-report.ts";
import { readOthersFile, readOthersJson } from "../../appliance/others-file.ts";
import { emptyReport, isReaperReport, type ReaperReport } from "../../appliance/reaper-report.ts";

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

describe.skipIf(process.platform === "win32")("a report of another service", () => {
  const reaper: ReaperReport = { ...emptyReport(false), refusal: "the clock is 8 days after the last run" };
  const certificate: CertificateReport = {
    ...{ authority: "https://acme.test/directory", account: null, names: ["_a.test"], failures: 0 },
    ...{ notAfter: null, renewAt: 1.8e12, refused: { "www._a.test": "no address" }, problem: null },
    nextLook: 1.8e12,
  };
  const read = async <T>(text: string, isWhole: (value: T) => boolean) => {
    const folder = await mkdtemp(join(tmpdir(), "homing-report-"));
    const reasons: string[] = [];
    try {
      await writeFile(join(folder, "report"), text);
      return { report: readOthersJson(join(folder, "report"), isWhole, (why) => reasons.push(why)), reasons };
    } finally {
      await rm(folder, { recursive: true });
    }
  };

  it("is read as it was written", async () => {
    expect(await read(JSON.stringify(reaper), isReaperReport)).toEqual({ report: reaper, reasons: [] });
    expect(await read(JSON.stringify(certificate), isCertificateReport)).toEqual({
      report: certificate,
      reasons: [],
    });
  });

  const broken = ["", "{", "null", "[]", "{}"];

  it.each([
    ...broken,
    ...[
      { removed: null },
      { removed: { age: null } },
      { removed: { age: { messages: "1", bytes: 1 } } },
      { removed: { constructor: { messages: 1, bytes: 1 } } },
      { accounts: { idle: 1 } },
      { refusal: { toString: 1 } },
      { time: null },
    ].map((changes) => JSON.stringify({ ...reaper, ...changes })),
  ])("is none of the reaper: %s", async (text) => {
    expect(await read(text, isReaperReport)).toEqual({
      report: undefined,
      reasons: [expect.stringContaining("it is not what it should be")],
    });
  });

  it.each([
    ...broken,
    ...[
      { names: "a" },
      { names: [{ toString: 1 }] },
      { nextLook: 9e15 },
      { notAfter: "soon" },
      { account: 1 },
      { refused: null },
      { problem: { toString: 1 } },
    ].map((changes) => JSON.stringify({ ...certificate, ...changes })),
  ])("is none of a certificate: %s", async (text) => {
    expect(await read(text, isCertificateReport)).toEqual({
      report: undefined,
      reasons: [expect.stringContaining("it is not what it should be")],
    });
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
