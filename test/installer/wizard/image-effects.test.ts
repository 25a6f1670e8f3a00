/** What stands in the way of the wizard's image (installer/wizard/image-effects.ts); no build begins then. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { imageEffects } from "../../../installer/wizard/image-effects.ts";
import { makeSmallImage, markAsBooted } from "../../support/small-image.ts";
import { domain } from "./imagined-world.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "homing-image-"));
});
afterEach(() => rm(directory, { recursive: true }));

const name = `${domain}-vm.img`;
const follow = { report: () => {}, signal: new AbortController().signal };
const build = (more: { out?: string; replace?: boolean } = {}) =>
  imageEffects({ env: {}, directory }).build(
    { kind: "build", folder: join(directory, domain), target: "vm", form: "raw", ...more },
    follow,
  );

test("a relay that was booted is kept, and a name beside it is offered that nothing has", async () => {
  const image = join(directory, name);
  await makeSmallImage(image);
  await markAsBooted(image);
  await writeFile(join(directory, `${domain}-VM-2.img`), "");
  const before = await readFile(image);
  expect(await build()).toEqual({
    built: undefined,
    taken: { path: image, isRelay: true, free: `${domain}-vm-3.img` },
  });
  expect((await readFile(image)).equals(before)).toBe(true);
});

test.each([
  ["a file of somebody else", (path: string) => writeFile(path, "my photos")],
  ["a folder", (path: string) => mkdir(path)],
])("%s is never offered to be replaced", async (_what, make) => {
  await make(join(directory, name));
  expect(await build()).toMatchObject({ taken: { isRelay: false, free: `${domain}-vm-2.img` } });
});

test("the build begins where nothing is lost: an image that nobody used, another name, one that is given up", async () => {
  const image = join(directory, name);
  await makeSmallImage(image);
  // There is no relay folder: that is what the build says first.
  await expect(build()).rejects.toThrow(domain);
  await markAsBooted(image);
  await expect(build({ out: `${domain}-vm-2.img` })).rejects.toThrow(domain);
  await expect(build({ replace: true })).rejects.toThrow(domain);
});
