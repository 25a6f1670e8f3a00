/**
 * The same inputs give the same bytes: an image as the other tests of this ring have it, and one made by the command
 * line with nothing in its cache but packages, in another folder, time zone, language and umask, on a disk as under
 * Windows (test/support/foreign-disk.ts).
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { readTestLock } from "../support/test-lock.ts";

const launcher = join(import.meta.dirname, "..", "..", "installer", "launch.mjs");
const BLOCK_BYTES = 1 << 20;
const elsewhere = { TZ: "Pacific/Kiritimati", LC_ALL: "tr_TR.UTF-8" };

it("gives the same image from the same relay, whoever builds it where", async () => {
  const folder = await mkdtemp(join(tmpdir(), "homing-same-"));
  try {
    const { files } = await createRelayFolder(join(folder, "relay"), "_same.test");
    const cache = defaultCacheDirectory(process.env);
    const image = await buildImage({
      target: "vm",
      spec: rootfsSpec(),
      relay: files,
      out: join(folder, "first.img"),
      lock: readTestLock(),
      cache,
      mirrors: await chooseMirrors({ env: process.env }),
    });
    const otherCache = join(folder, "cache");
    await mkdir(otherCache);
    for (const name of ["packages", "node"]) await symlink(join(cache, name), join(otherCache, name));
    await promisify(execFile)(
      "sh",
      [
        ...["-c", 'umask 077 && exec "$@"', "sh", process.execPath, launcher],
        ...["build", "relay", "--target", "vm", "--out", "second.img", "--cache", "cache"],
      ],
      { cwd: folder, env: { ...process.env, ...elsewhere, ...onForeignDisk(folder) } },
    );
    expect(await firstDifference(image.path, join(folder, "second.img"))).toBe("none");
    expect(image.rootfs.sbom).toEqual(await readFile(join(folder, "second.img.cdx.json")));
    const uses = (await readFile(join(folder, "disk-uses"), "utf8")).trim().split("\n");
    expect(Math.max(...uses.map((line) => Number(line.split(" ")[1])))).toBeGreaterThan(100);
    expect(uses.filter((line) => !line.endsWith(" []"))).toEqual([]); // nothing was refused
  } finally {
    await rm(folder, { recursive: true });
  }
});

function onForeignDisk(folder: string): Record<string, string> {
  const preload = pathToFileURL(join(import.meta.dirname, "..", "support", "foreign-disk-preload.ts"));
  return {
    NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${preload}`,
    HOMING_FOREIGN_DISK: folder,
    HOMING_FOREIGN_DISK_REPORT: join(folder, "disk-uses"),
  };
}

/** In blocks: an image is larger than what should be held in memory twice. */
async function firstDifference(one: string, other: string): Promise<string> {
  await using first = await open(one);
  await using second = await open(other);
  const blocks = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)] as const;
  for (let offset = 0; ; offset += BLOCK_BYTES) {
    const [a, b] = await Promise.all([
      first.read(blocks[0], 0, BLOCK_BYTES, offset),
      second.read(blocks[1], 0, BLOCK_BYTES, offset),
    ]);
    const [left, right] = [a.buffer.subarray(0, a.bytesRead), b.buffer.subarray(0, b.bytesRead)];
    if (!left.equals(right)) return `in the ${BLOCK_BYTES} bytes from ${offset}`;
    if (a.bytesRead === 0) return "none";
  }
}
