/**
 * The same inputs give the same bytes: an image as the other tests of this ring have it, and one made by the command
 * line with nothing in its cache but packages, by a copy of the project in another folder, in another time zone,
 * language and umask, by another user, on one processor and on a disk as under Windows
 * (test/support/foreign-disk.ts); compressed, and decompressed again.
 */
import { execFile, spawnSync } from "node:child_process";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { chmod, chown, copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { createZstdDecompress } from "node:zlib";
import { expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { compressImage } from "../../image/compressed-image.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { lockFile } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { readTestLock, testLockFile } from "../support/test-lock.ts";

const project = join(import.meta.dirname, "..", "..");
/** What a build reads of the project, and the disk's tricks. */
const SOURCES = [
  "test/support",
  "appliance",
  "image",
  "installer",
  "services",
  "web",
  "node_modules",
  "package.json",
  "package-lock.json",
];
/** Debian's "nobody" and "nogroup". */
const NOBODY = 65534;
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
    await copyAll(project, SOURCES, join(folder, "copy of it"));
    await copyFile(testLockFile(), join(folder, "copy of it", relative(project, fileURLToPath(lockFile))));
    const downloads = ["packages", "node"].filter((name) => existsSync(join(cache, name)));
    await copyAll(cache, downloads, join(folder, "cache"));
    const { stdout } = await buildElsewhere(folder);
    const told = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
    const second = join(folder, "second.img");
    expect(told).toMatchObject({
      ...{ event: "done", target: "vm", path: `${second}.zst`, compressed: true },
      bytes: (await stat(`${second}.zst`)).size,
      image: { bytes: image.bytes, sha256: image.sha256 },
      rootfs: { sha256: image.rootfs.sha256, reused: false },
    });
    await pipeline(createReadStream(`${second}.zst`), createZstdDecompress(), createWriteStream(second));
    expect(await firstDifference(image.path, second)).toBe("none");
    const compressed = await compressImage(image.path, join(folder, "first.img.zst"), image.bytes, () => {});
    expect(compressed).toEqual({ imageSha256: image.sha256, bytes: told.bytes, sha256: told.sha256 });
    expect(image.rootfs.sbom).toEqual(await readFile(`${second}.zst.cdx.json`));
    const uses = (await readFile(join(folder, "disk-uses"), "utf8")).trim().split("\n");
    expect(Math.max(...uses.map((line) => Number(line.split(" ")[1])))).toBeGreaterThan(100);
    expect(uses.filter((line) => !line.endsWith(" []"))).toEqual([]); // nothing was refused
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** Hard links where they can be: the files are only read. */
async function copyAll(from: string, names: readonly string[], to: string): Promise<void> {
  await mkdir(to);
  const copy = (how: string) => promisify(execFile)("cp", [how, "--parents", ...names, to], { cwd: from });
  await copy("-al").catch(() => copy("-a"));
}

/** Runs the build there, by as much of another user and fewer processors as this system lets us. */
async function buildElsewhere(folder: string): Promise<{ stdout: string }> {
  const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
  const asNobody = process.getuid?.() === 0 && has("setpriv");
  if (asNobody) {
    // What it reads stays ours; it may make files beside it.
    await chmod(folder, 0o755);
    for (const place of [folder, join(folder, "cache")]) await chown(place, NOBODY, NOBODY);
    for (const name of await readdir(join(folder, "relay"), { recursive: true }))
      await chown(join(folder, "relay", name), NOBODY, NOBODY);
    await chown(join(folder, "relay"), NOBODY, NOBODY);
  }
  const copy = join(folder, "copy of it");
  // This process's own Node may lie where nobody else can reach it.
  const pinned = join(copy, "node_modules", `node-${process.platform}-${process.arch}`, "bin", "node");
  const [program, ...args] = [
    ...(asNobody ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : []),
    ...(has("taskset") ? ["taskset", "-c", "0"] : []),
    ...["sh", "-c", 'umask 077 && exec "$@"', "sh", existsSync(pinned) ? pinned : process.execPath],
    ...[join(copy, "installer", "launch.mjs"), "build", "relay", "--target", "vm", "--cache", "cache"],
    ...["--out", "second.img.zst", "--compress", "--json"],
  ] as [string, ...string[]];
  return await promisify(execFile)(program, args, {
    cwd: folder,
    env: { ...process.env, ...elsewhere, ...onForeignDisk(folder, copy), HOME: folder },
    maxBuffer: 1 << 24,
  });
}

function onForeignDisk(folder: string, copy: string): Record<string, string> {
  const preload = pathToFileURL(join(copy, "test", "support", "foreign-disk-preload.ts"));
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
