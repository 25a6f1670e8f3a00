/** What lies beside an image: written whole, and nobody's other file is lost for it. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  billOfMaterials,
  checkCompanion,
  companionPath,
  packageList,
  writeCompanion,
} from "../../image/companion-file.ts";
import { lockText, readLock } from "../../image/packages/lock.ts";

const SBOM = '{\n  "$schema": "x",\n  "bomFormat": "CycloneDX"\n}\n';
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-companion-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each([
  ["the bill of materials", billOfMaterials, SBOM, "relay.img.cdx.json"],
  ["the list of packages", packageList, lockText(readLock()), "relay.img.lock.json"],
])("%s", (_, companion, content, name) => {
  it("is written beside the image, and again over itself", async () => {
    const image = join(folder, "relay.img");
    for (let round = 0; round < 2; round++) {
      await checkCompanion(image, companion);
      expect(await writeCompanion(image, companion, content)).toBe(join(folder, name));
    }
    expect(await readFile(companionPath(image, companion), "utf8")).toEqual(content);
    expect(await readdir(folder)).toEqual([name]);
    await rm(join(folder, name));
  });

  it("takes the place of nothing else", async () => {
    await writeFile(join(folder, `a.img${companion.suffix}`), "my notes");
    await mkdir(join(folder, `b.img${companion.suffix}`));
    for (const image of ["a.img", "b.img"]) {
      await expect(checkCompanion(join(folder, image), companion)).rejects.toThrow(
        `is no ${companion.what}, so it is not replaced`,
      );
      await rm(join(folder, `${image}${companion.suffix}`), { recursive: true });
    }
  });
});

it("is a lock file that ./homing audit --lock takes", async () => {
  const lock = { ...readLock(), generated: 1_700_000_000 };
  const path = await writeCompanion(join(folder, "c.img"), packageList, lockText(lock));
  expect(readLock(path)).toEqual(lock);
});
