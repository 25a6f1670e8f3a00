/** Parts of downloads that somebody else takes away while they are written (image/packages/part-file.ts). */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { HttpClient } from "../../../image/packages/http-client.ts";
import { openPart, partsIn } from "../../../image/packages/part-file.ts";
import { sha256 } from "../../support/mirror.ts";
import { usePackageSource } from "../../support/package-source.ts";

const source = usePackageSource();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-part-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const content = Buffer.from("the whole file");

it("is lost when another build took it for abandoned, and can be written anew", async () => {
  const target = join(folder, "a.deb");
  {
    await using part = await openPart(target, content.length);
    await part.append(content);
    const [there] = await partsIn(folder);
    // As continueAbandoned does, of a build on a computer that shares the folder.
    rmSync(there!.path);
    expect(await part.finish(sha256(content))).toBe("lost");
    expect([part.bytes(), readdirSync(folder)]).toEqual([0, []]);
    await part.append(content.subarray(0, 4));
    await part.append(content.subarray(4));
    expect(await part.finish(sha256(content))).toBe("done");
  }
  expect(readdirSync(folder)).toEqual(["a.deb"]);
  expect(readFileSync(target).equals(content)).toBe(true);
});

it("leaves nothing when it was lost and nothing came again", async () => {
  {
    await using part = await openPart(join(folder, "a.deb"), content.length);
    await part.append(content);
    rmSync((await partsIn(folder))[0]!.path);
    expect(await part.finish(sha256(content))).toBe("lost");
  }
  expect(readdirSync(folder)).toEqual([]);
});

it("throws other errors than that, and keeps what has come", async () => {
  const target = join(folder, "a.deb");
  {
    await using part = await openPart(target, content.length);
    await part.append(content);
    mkdirSync(target); // is in the way
    await expect(part.finish(sha256(content))).rejects.toThrow("EISDIR");
  }
  expect(await partsIn(folder)).toHaveLength(1);
});

it("is fetched once more when it was lost at the end of a download", async () => {
  const one = source.offer("a");
  const packages = join(source.cache, "packages");
  let asked = 0;
  const client: HttpClient = async () => {
    asked++;
    async function* body() {
      yield one.content;
      if (asked === 1) for (const { path } of await partsIn(packages)) rmSync(path);
    }
    return { status: 200, headers: {}, body: Readable.from(body()) };
  };
  const paths = await source.fetchAll([one], { network: { ...source.network, client } });
  expect(readFileSync(paths.get("a")!).equals(one.content)).toBe(true);
  expect([asked, source.cachedFiles().length]).toEqual([2, 1]);
});
