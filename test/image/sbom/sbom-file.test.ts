/** The bill of materials beside an image: written whole, and nobody's other file is lost for it. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkSbomFile, sbomPath, writeSbomFile } from "../../../image/sbom/sbom-file.ts";

const SBOM = Buffer.from('{\n  "$schema": "x",\n  "bomFormat": "CycloneDX"\n}\n');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-sbom-"));
});
afterAll(() => rm(folder, { recursive: true }));

it("is written beside the image, and again over itself", async () => {
  const image = join(folder, "relay.img");
  for (let round = 0; round < 2; round++) {
    await checkSbomFile(image);
    expect(await writeSbomFile(image, SBOM)).toBe(join(folder, "relay.img.cdx.json"));
  }
  expect(await readFile(sbomPath(image))).toEqual(SBOM);
  expect(await readdir(folder)).toEqual(["relay.img.cdx.json"]);
});

it("takes the place of nothing else", async () => {
  await writeFile(join(folder, "a.img.cdx.json"), "my notes");
  await mkdir(join(folder, "b.img.cdx.json"));
  for (const name of ["a.img", "b.img"]) {
    await expect(checkSbomFile(join(folder, name))).rejects.toThrow(/is no bill of materials of an image/);
  }
});
