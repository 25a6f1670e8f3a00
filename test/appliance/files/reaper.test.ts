/** The scripts around services/reaper (appliance/files/reaper.ts). */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fullNoteScript, reaperDueScript } from "../../../appliance/files/reaper.ts";
import { clockSyncedPath, dataPaths, reaperStatePath, runPaths } from "../../../appliance/layout.ts";

const HOUR = 3_600;

describe.skipIf(process.platform !== "linux")("the scripts of the reaper", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "homing-due-"));
    for (const path of [dataPaths.mail, dataPaths.reaper, runPaths.reaperFull, runPaths.reaperAgain])
      mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, runPaths.room), "1000 1000\n");
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const isDue = (mode: string) =>
    spawnSync("sh", ["-s", mode, root], { input: reaperDueScript.content }).status === 0;
  const ranAgo = (hours: number) => {
    const time = Date.now() / 1000 - hours * HOUR;
    writeFileSync(join(root, reaperStatePath), "{}");
    utimesSync(join(root, reaperStatePath), time, time);
  };

  it("start a run that was asked for, whenever it is", () => {
    ranAgo(1);
    for (const mode of ["expire", "dry-run", "full", "leaving"]) expect(isDue(mode)).toBe(true);
    expect(isDue("look")).toBe(false);
  });

  it.each([
    ["never before", undefined, true],
    ["an hour ago", 1, false],
    ["22.9 hours ago", 22.9, false],
    ["23.1 hours ago", 23.1, true],
    ["years ago", 30_000, true],
    ["in two days, so the clock was set back", -48, true],
  ])("start the daily run when the last one was %s", (_, hours, due) => {
    if (hours !== undefined) ranAgo(hours);
    expect(isDue("look")).toBe(due);
  });

  it("start one for a mailbox to look at again, and for a disk that is nearly full", () => {
    ranAgo(1);
    const { bavail, bsize } = statfsSync(root);
    const free = bavail * bsize;
    for (const [reserve, due] of [
      [free, true],
      [Math.floor(free / 3), false],
    ] as const) {
      writeFileSync(join(root, runPaths.room), `1 ${reserve}\n`);
      expect(isDue("look")).toBe(due);
    }
    for (const notes of [runPaths.reaperAgain, runPaths.reaperFull]) {
      writeFileSync(join(root, notes, "a@_a.test"), "");
      expect(isDue("look")).toBe(true);
      rmSync(join(root, notes, "a@_a.test"));
      expect(isDue("look")).toBe(false);
    }
  });

  it("start one while something was left undone, which the status page tells of", () => {
    ranAgo(1);
    writeFileSync(join(root, runPaths.reaperFailed), "room");
    expect(isDue("look")).toBe(true);
    rmSync(join(root, runPaths.reaperFailed));
    expect(isDue("look")).toBe(false);
  });

  it("start one in each boot in which a time server set the clock", () => {
    ranAgo(1);
    const touch = (path: string) => {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), "");
    };
    touch(clockSyncedPath);
    expect(isDue("look")).toBe(true);
    touch(runPaths.reaperClockKept);
    expect(isDue("look")).toBe(false);
  });

  it("note mailboxes by address and nothing else", () => {
    const script = fullNoteScript.content.replaceAll(runPaths.reaperFull, join(root, runPaths.reaperFull));
    const note = (...args: string[]) => spawnSync("sh", ["-s", ...args], { input: script }).status;
    expect(note("abc@_a.test")).toBe(0);
    expect(note("abc@_a.test")).toBe(0);
    for (const name of ["../../evil@x", "/etc/x@y", ".hidden@x", "", "none"]) note(name);
    expect(note()).not.toBe(0);
    expect(readdirSync(join(root, runPaths.reaperFull))).toEqual(["abc@_a.test"]);
  });
});
