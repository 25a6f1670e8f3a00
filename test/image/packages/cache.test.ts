/** Tests of the cache directory. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { defaultCacheDirectory, writeFileWhole } from "../../../image/packages/cache.ts";

it("lies below XDG_CACHE_HOME when that is an absolute path, else below the home directory", () => {
  expect(defaultCacheDirectory({ XDG_CACHE_HOME: "/var/tmp/c" })).toBe(join("/var/tmp/c", "homing"));
  const usual = join(homedir(), ".cache", "homing");
  expect(defaultCacheDirectory({})).toBe(usual);
  expect(defaultCacheDirectory({ XDG_CACHE_HOME: "relative" })).toBe(usual);
});

it.skipIf(process.platform === "win32").each(["", "relative", undefined])(
  "lies in the user's home, never in the current folder, with HOME=%j (Unix)",
  (home) => {
    const before = process.env.HOME;
    try {
      if (home === undefined) delete process.env.HOME;
      else process.env.HOME = home;
      expect(defaultCacheDirectory({})).toBe(join(userInfo().homedir, ".cache", "homing"));
    } finally {
      process.env.HOME = before;
    }
  },
);

it("holds whole files only, also when several write the same one at once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "homing-cache-"));
  const file = join(folder, "a/b/file");
  const contents = Array.from({ length: 10 }, (_, i) => Buffer.alloc(100_000, String(i)));
  await Promise.all(contents.map((content) => writeFileWhole(file, content)));
  expect(contents.some((content) => content.equals(readFileSync(file)))).toBe(true);
  expect(readdirSync(join(folder, "a/b"))).toEqual(["file"]);
  rmSync(folder, { recursive: true });
});
