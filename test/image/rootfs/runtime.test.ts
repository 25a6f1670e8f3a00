import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundlePrograms, type Program } from "../../../image/rootfs/runtime.ts";

const run = promisify(execFile);
let project: string;
beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "homing-bundle-"));
});
afterAll(() => rm(project, { recursive: true, force: true }));

async function bundle(entry: string): Promise<Program> {
  await writeFile(join(project, "entry.ts"), entry);
  const programs = await bundlePrograms([{ name: "program", entry: "entry.ts" }], project);
  return programs.get("program")!;
}

async function outputOf({ content }: Program): Promise<string> {
  const path = join(project, "program.mjs");
  await writeFile(path, content);
  return (await run(process.execPath, [path])).stdout;
}

it("loads of Node's modules only what a program uses", async () => {
  const program = await bundle(`
    import { createServer } from "node:http";
    createServer();
    console.log(process.moduleLoadList.join("\\n"));`);
  const loaded = await outputOf(program);
  expect(loaded).toContain("NativeModule _http_server\n");
  expect(loaded).not.toContain("undici");
  expect(loaded).not.toContain("internal/http2/core");
});

it("gives a program Node's modules in each way of asking for them, by names old and new", async () => {
  await writeFile(join(project, "old.cjs"), 'exports.join = require("path").join;');
  const program = await bundle(`
    import path, { join } from "node:path";
    import * as promises from "fs/promises";
    import old from "./old.cjs";
    const { join: later } = await import("node:path");
    console.log(path.join === join, old.join === join, later === join, typeof promises.readFile);`);
  expect(await outputOf(program)).toBe("true true true function\n");
  expect([...program.inputs].sort()).toEqual(["entry.ts", "old.cjs"]);
});
