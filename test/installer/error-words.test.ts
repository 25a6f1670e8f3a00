/** What people read of the system's errors (installer/error-words.ts). */
import { mkdtempSync, rmSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { errorWords } from "../../installer/error-words.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-words-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("names the file and what is wrong with it", async () => {
  const path = join(folder, "missing");
  const error = await open(path).catch((reason: unknown) => reason);
  expect(errorWords(error)).toBe(`${path}: no such file or directory (ENOENT)`);
});

it("leaves the words of Node's own errors, whose number is none of the system's", async () => {
  const error = (await rm(folder).catch((reason: unknown) => reason)) as NodeJS.ErrnoException;
  expect([error.code, error.errno]).toEqual(["ERR_FS_EISDIR", 21]);
  expect(errorWords(error)).toBe(error.message);
  expect(errorWords(error)).toContain(folder);
});

it("has none for a mistake of the program", () => {
  expect(errorWords(new TypeError("x is undefined"))).toBeUndefined();
});
