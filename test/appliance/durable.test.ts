import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { replaceDurably } from "../../appliance/durable.ts";

describe.skipIf(process.platform === "win32")("a file that is replaced as a whole", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-durable-"));
    path = join(folder, "certificate.pem");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("is written over what a power cut left, with its mode", async () => {
    await writeFile(`${path}.new`, "half of an older, longer one", { mode: 0o666 });
    await replaceDurably(path, "whole", { mode: 0o640 });
    expect(await readFile(path, "utf8")).toBe("whole");
    expect((await stat(path)).mode & 0o777).toBe(0o640);
  });

  it("is written through no link of whoever owns the folder", async () => {
    await writeFile(join(folder, "key"), "secret");
    await symlink(join(folder, "key"), `${path}.new`);
    await expect(replaceDurably(path, "whole", { mode: 0o640 })).rejects.toThrow("ELOOP");
    expect(await readFile(join(folder, "key"), "utf8")).toBe("secret");
  });
});
