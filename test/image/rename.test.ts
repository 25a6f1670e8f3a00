/** Renaming what somebody may hold for a moment (image/rename.ts); the foreign disk is in portability.test.ts. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { renameWhenFree } from "../../image/rename.ts";
import { installForeignDisk } from "../support/foreign-disk.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-rename-"));
  writeFileSync(join(folder, "new"), "content");
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

describe("renameWhenFree", () => {
  it("tries again on Windows alone", async () => {
    using disk = installForeignDisk(folder, { scanner: true });
    await expect(renameWhenFree(at("new"), at("name"), { platform: "linux" })).rejects.toThrow("EACCES");
    writeFileSync(at("other"), "content");
    await renameWhenFree(at("other"), at("name"), { platform: "win32" });
    expect([disk.refused.length, existsSync(at("name"))]).toEqual([2, true]);
  });

  it("gives up after ten seconds, with the system's error", async () => {
    // A folder that is there is never replaced on that disk.
    mkdirSync(at("folder"));
    mkdirSync(at("taken"));
    using _disk = installForeignDisk(folder);
    const pauses: number[] = [];
    const wait = async (milliseconds: number) => void pauses.push(milliseconds);
    const options = { platform: "win32", wait } as const;
    await expect(renameWhenFree(at("folder"), at("taken"), options)).rejects.toThrow("EPERM");
    expect(pauses.reduce((sum, one) => sum + one)).toBe(10_000);
  });

  it("waits neither for what is in the way nor for another trouble", async () => {
    mkdirSync(at("folder"));
    mkdirSync(at("taken"));
    using _disk = installForeignDisk(folder);
    const wait = () => Promise.reject(new Error("must not be waited for"));
    const options = { platform: "win32", wait, isTaken: async () => existsSync(at("taken")) } as const;
    await expect(renameWhenFree(at("folder"), at("taken"), options)).rejects.toThrow("EPERM");
    await expect(renameWhenFree(at("missing"), at("name"), options)).rejects.toThrow("ENOENT");
  });
});
