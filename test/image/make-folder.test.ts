/** How folders are made at any place that a user names (image/make-folder.ts), in a process of their own that can be ended. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeFolder } from "../../image/make-folder.ts";

/** Far more than Node needs to start. */
const LIMIT_MS = 20_000;

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "homing-folder-"));
});
afterAll(() => rm(home, { recursive: true }));

it("makes those above it too, is content with one that is there, and does so several times at once", async () => {
  const path = join(home, "a/b/c");
  await Promise.all(Array.from({ length: 20 }, () => makeFolder(path)));
  await makeFolder(path);
  expect((await stat(path)).isDirectory()).toBe(true);
});

it.each(["file", "file/below"])("leaves a file at %s as it is", async (name) => {
  await writeFile(join(home, "file"), "");
  await expect(makeFolder(join(home, name))).rejects.toThrow(/EEXIST|ENOTDIR/);
});

it.skipIf(!existsSync("/proc/self"))("ends where the system makes no folders", () => {
  const module = JSON.stringify(join(import.meta.dirname, "../../image/make-folder.ts"));
  const script = `await (await import(${module})).makeFolder("/proc/homing/cache").catch(({ code }) => console.log(code))`;
  const run = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    ...{ encoding: "utf8", timeout: LIMIT_MS, killSignal: "SIGKILL" },
  });
  expect([run.error, run.stdout.trim()]).toEqual([undefined, "ENOENT"]);
});
