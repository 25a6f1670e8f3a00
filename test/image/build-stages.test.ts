/**
 * What becomes of an image when its build ends in the middle of writing, checking or compressing it: stopped, without
 * room, on a disk that went read-only, beside another build. The old image stays whole, nothing else stays.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { type BuildOptions, buildImage, type ImageForm } from "../../image/build.ts";
import { billOfMaterials, companionPath, packageList, writeCompanion } from "../../image/companion-file.ts";
import { readLock } from "../../image/packages/lock.ts";
import { imagerManifest } from "../../installer/flash/imager-manifest.ts";
import { endedProcess } from "../support/package-source.ts";
import { noSmallDisk, onSmallDisk } from "../support/small-disk.ts";
import { putSmallRootfs } from "../support/small-rootfs.ts";

let cache: string;
let folder: string;
let common: Omit<BuildOptions, "relay" | "out">;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), "homing-stages-cache-"));
  common = {
    target: "pi",
    spec: { ...rootfsSpec(), bundles: [] },
    lock: readLock(),
    cache,
    mirrors: { debian: "http://127.0.0.1:9", security: "http://127.0.0.1:9" },
  };
  await putSmallRootfs(common);
});
afterAll(() => rm(cache, { recursive: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-stages-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** Two relays give two images. */
const relayOf = (domain: string) => new Map([["relay.toml", Buffer.from(`domain = "${domain}"\n`)]]);
const build = (out: string, more: Partial<BuildOptions> = {}) =>
  buildImage({ ...common, relay: relayOf("_a.test"), out, ...more });

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Aborted when the stage is told for the `count`th time. */
function stopAt(stage: string, count = 1): Pick<BuildOptions, "onProgress" | "signal"> {
  const stop = new AbortController();
  let seen = 0;
  return {
    signal: stop.signal,
    onProgress: (event) => {
      if (event.stage === stage && ++seen === count) stop.abort();
    },
  };
}

const stages: readonly (readonly [stage: string, count: number, form: ImageForm])[] = [
  ["Writing the image", 1, "raw"],
  ["Checking the image", 1, "raw"],
  ["Compressing the image", 1, "zst"],
  ["Compressing the image", 5, "zst"],
  ["Writing the image as qcow2", 1, "qcow2"],
  ["Writing the image as vmdk", 5, "vmdk"],
];

describe("a build that is stopped", () => {
  it.each(stages)("leaves nothing at a new place: %s (%i)", async (stage, count, form) => {
    const out = join(folder, "a.img");
    await expect(build(out, { form, ...stopAt(stage, count) })).rejects.toThrow(/abort/i);
    expect(await readdir(folder)).toEqual([]);
  });

  it("leaves the image that was there as it was", async () => {
    const out = join(folder, "a.img");
    const { sha256 } = await build(out);
    for (const [stage, count, form] of stages) {
      const other = { relay: relayOf("_b.test"), form, ...stopAt(stage, count) };
      await expect(build(out, other), stage).rejects.toThrow(/abort/i);
      expect(await readdir(folder)).toEqual(["a.img"]);
    }
    expect(await hashOf(out)).toBe(sha256);
  });
});

describe("builds to one place at once", () => {
  it("leave a whole image of one of them", async () => {
    const out = join(folder, "a.img");
    const built = await Promise.all(
      ["_a.test", "_b.test", "_c.test"].map((name) => build(out, { relay: relayOf(name) })),
    );
    expect(new Set(built.map(({ sha256 }) => sha256)).size).toBe(3);
    expect(built.map(({ sha256 }) => sha256)).toContain(await hashOf(out));
    expect(await readdir(folder)).toEqual(["a.img"]);
  });

  it.each([
    ["Checking the image", "raw"],
    ["Compressing the image", "zst"],
    ["Writing the image as qcow2", "qcow2"],
  ] as const)("are of no account to each other when one is stopped: %s", async (stage, form) => {
    const out = join(folder, "a.img");
    const [done, stopped] = await Promise.allSettled([
      build(out, { form }),
      build(out, { form, relay: relayOf("_b.test"), ...stopAt(stage) }),
    ]);
    expect(stopped.status).toBe("rejected");
    if (done.status === "rejected") throw done.reason;
    expect(await hashOf(out)).toBe(done.value.packed?.sha256 ?? done.value.sha256);
    expect(await readdir(folder)).toEqual(["a.img"]);
  });
});

describe("what lies beside the image that was there", () => {
  const companions = [billOfMaterials, packageList, imagerManifest];
  const contents = ['{ "bomFormat": "CycloneDX" }', '{ "generated": 1 }', '{ "os_list": [] }'];
  const names = companions.map(({ suffix }) => `a.img${suffix}`);

  it("goes before the new one comes, but not before that is whole", async () => {
    const out = join(folder, "a.img");
    await build(out);
    for (const [index, name] of names.entries()) await writeFile(join(folder, name), contents[index]!);
    await expect(build(out, { companions, ...stopAt("Checking the image") })).rejects.toThrow(/abort/i);
    expect((await readdir(folder)).sort()).toEqual(["a.img", ...names].sort());
    await build(out, { companions, relay: relayOf("_b.test") });
    expect(await readdir(folder)).toEqual(["a.img"]);
  });

  it("stays when it is not ours", async () => {
    const out = join(folder, "a.img");
    for (const name of names) await writeFile(join(folder, name), "my notes");
    await rm(join(folder, names[0]!));
    await mkdir(join(folder, names[0]!));
    await build(out, { companions });
    expect((await readdir(folder)).sort()).toEqual(["a.img", ...names].sort());
  });
});

it("removes what killed builds left of this image, and nothing of others or of those that run", async () => {
  const out = join(folder, "a.img");
  const left = (name: string, processId: number) => `${name}.${processId}-01234567.part`;
  const stays = [left("a.img", process.ppid), left("b.img", endedProcess()), "a.img.part", "notes"];
  for (const name of [left("a.img", endedProcess()), ...stays]) await writeFile(join(folder, name), "keys");
  await build(out);
  expect((await readdir(folder)).sort()).toEqual(["a.img", ...stays].sort());
});

/** What an image of the small root file system takes on a disk, at most: its FAT's tables are in it. In KiB. */
const IMAGE_KIBIBYTES = 10 * 1024;

describe("on a small disk (root)", () => {
  it.for([
    ["Writing the image", 1.5, "raw"],
    ["Compressing the image", 2.4, "zst"],
    ["Writing the image as vmdk", 2.4, "vmdk"],
  ] as const)("without room for it, a build says so: %s", async ([stage, images, form], test) => {
    const done = await onSmallDisk(images * IMAGE_KIBIBYTES, async ({ path: disk }) => {
      const out = join(disk, "a.img");
      const { sha256 } = await build(out);
      let last = "";
      const onProgress: BuildOptions["onProgress"] = (event) => {
        last = event.stage;
      };
      const failed = build(out, { relay: relayOf("_b.test"), form, onProgress });
      const { message } = await failed.then(
        () => new Error("built"),
        (error: Error) => error,
      );
      expect([last, message]).toEqual([
        stage,
        expect.stringMatching(
          /no room for .*a\.img \(ENOSPC\): it needs .* MB, .* MB are free there\. .*--out/,
        ),
      ]);
      // What its own unfinished file took is free for the next try, and counts as that.
      const [needed, free] = /needs ([\d.]+) MB, ([\d.]+) MB/.exec(message)!.slice(1).map(Number);
      expect(free).toBeGreaterThan(3);
      expect(free).toBeLessThan(needed!);
      expect(await readdir(disk)).toEqual(["a.img"]);
      expect(await hashOf(out)).toBe(sha256);
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("that is read-only, or goes so before the end, the old image stays", async (test) => {
    const done = await onSmallDisk(3 * IMAGE_KIBIBYTES, async ({ path: disk, makeReadOnly }) => {
      const out = join(disk, "a.img");
      const { sha256 } = await build(out);
      const relay = relayOf("_b.test");
      const onProgress: BuildOptions["onProgress"] = ({ stage }) => {
        if (stage === "Checking the image") makeReadOnly();
      };
      await expect(build(out, { relay, onProgress })).rejects.toThrow(/EROFS/);
      await expect(build(out, { relay })).rejects.toThrow(/EROFS/);
      expect(await hashOf(out)).toBe(sha256);
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("without room for what lies beside the image, the old file stays", async (test) => {
    const done = await onSmallDisk(64, async ({ path: disk }) => {
      const out = join(disk, "a.img");
      await writeCompanion(out, billOfMaterials, "old");
      const failed = writeCompanion(out, billOfMaterials, Buffer.alloc(1_000_000, 1));
      await expect(failed).rejects.toThrow(
        /no room for .*a\.img\.cdx\.json \(ENOSPC\): it needs 1\.0 MB, 0\.1 MB/,
      );
      expect(await readFile(companionPath(out, billOfMaterials), "utf8")).toBe("old");
      expect(await readdir(disk)).toHaveLength(1);
    });
    if (!done) test.skip(noSmallDisk);
  });
});
