import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync } from "node:fs";
import { rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createRelayFolder } from "../../../installer/relay-folder.ts";
import { changedSince, growDisk, trialDiskPath } from "../../../installer/vm/trial-disk.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-trial-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("boots a disk of its own, never the image itself", () => {
  expect(trialDiskPath("/a/b/chat.example.org")).toBe(resolve("chat.example.org-trial.img"));
  expect(trialDiskPath("/a/chat.example.org-vm.img")).toBe(resolve("chat.example.org-vm-trial.img"));
  expect(trialDiskPath("/a/x-vm.img.zst")).toBe(resolve("x-vm-trial.img"));
  expect(trialDiskPath("/a/x-trial.img")).toBe("/a/x-trial.img");
});

it("grows a disk for a trial and shrinks none", async () => {
  const disk = join(folder, "disk");
  await writeFile(disk, "x");
  await growDisk(disk);
  const grown = (await stat(disk)).size;
  expect(grown).toBe(4 * 2 ** 30);
  await truncate(disk, grown + 1);
  await growDisk(disk);
  expect((await stat(disk)).size).toBe(grown + 1);
});

it("names what was changed after the disk was made", async () => {
  const [disk, older, newer] = ["disk", "older", "newer"].map((name) => join(folder, name));
  for (const path of [disk!, older!, newer!]) await writeFile(path, "");
  await utimes(older!, new Date(0), new Date(0));
  await utimes(newer!, new Date(), new Date(Date.now() + 60_000));
  expect(await changedSince(disk!, [older!, newer!])).toEqual([newer]);
});

it("looks for QEMU before it makes anything", async () => {
  await createRelayFolder(join(folder, "relay"), "_a.test");
  const main = resolve("installer/main.ts");
  const { status, stderr } = spawnSync(process.execPath, [main, "vm", "relay"], {
    cwd: folder,
    env: { PATH: "" },
    encoding: "utf8",
  });
  expect(stderr).toContain("qemu-system-x86_64 was not found. Install QEMU");
  expect(status).toBe(1);
  expect(readdirSync(folder)).toEqual(["relay"]);
});
