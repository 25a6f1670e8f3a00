/**
 * What is in the cache directory, what of it is needed, and how the rest is removed while builds may be running.
 * Called by `./homing cache`. Files that are not the builder's own are counted and left alone.
 */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { requireWritable } from "./packages/cache.ts";
import { packagePath } from "./packages/download.ts";
import type { PackageLock } from "./packages/lock.ts";
import { cachedRuntime } from "./packages/node-runtime.ts";
import { asideName, partsIn } from "./packages/part-file.ts";
import { IN_USE_MILLISECONDS, listRootfs, pruneRootfs } from "./rootfs/rootfs-cache.ts";

export const cacheKinds = ["packages", "node", "rootfs", "unfinished", "other"] as const;
export type CacheKind = (typeof cacheKinds)[number];

export type CacheItem = Readonly<{
  path: string;
  kind: CacheKind;
  bytes: number;
  /** By the lock, by a build that ran lately or still runs. Of root file systems: the newest of an architecture too. */
  needed: boolean;
}>;

/** On request one of each architecture is enough; nobody asks who has room for three. */
const KEPT_ROOTFS = 1;
const architectures = ["amd64", "arm64"] as const;

type Item = CacheItem & Readonly<{ mtimeMs: number }>;

/** Everything in the cache; nothing when there is none. `now` in milliseconds since 1970. */
export async function listCache(directory: string, lock: PackageLock, now: number): Promise<CacheItem[]> {
  return (await listItems(directory, lock, now)).map(({ mtimeMs: _, ...item }) => item);
}

async function listItems(directory: string, lock: PackageLock, now: number): Promise<Item[]> {
  const [packages, node, rootfs] = ["packages", "node", "rootfs"].map((name) => join(directory, name));
  const locked = new Set([
    ...architectures.flatMap((one) => lock.architectures[one].map((each) => packagePath(directory, each))),
    ...architectures.map((one) => cachedRuntime(directory, one)),
  ]);
  const items = [
    ...(await listFiles(packages!, "packages", locked, now)),
    ...(await listFiles(node!, "node", locked, now)),
    ...(await listRootfsItems(rootfs!, now)),
  ];
  const known = new Set([packages, node, rootfs, ...items.map(({ path }) => path)]);
  for (const folder of [directory, rootfs!]) {
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      if (known.has(path)) continue;
      items.push({ path, kind: "other", bytes: await bytesOf(path), needed: true, mtimeMs: 0 });
    }
  }
  return items;
}

async function listFiles(
  folder: string,
  kind: "packages" | "node",
  locked: ReadonlySet<string>,
  now: number,
): Promise<Item[]> {
  const parts = new Map((await partsIn(folder)).map((part) => [part.path, part]));
  const paths = new Set((await namesIn(folder)).map((name) => join(folder, name)));
  const items: Item[] = [];
  for (const path of paths) {
    const { size: bytes, mtimeMs } = (await stat(path).catch(() => undefined)) ?? { size: 0, mtimeMs: now };
    const part = parts.get(path);
    if (part) {
      // The next build goes on with what was left of a package that is needed and not there.
      const continued = locked.has(part.target) && !paths.has(part.target);
      items.push({ path, kind: "unfinished", bytes, mtimeMs, needed: !part.abandoned || continued });
    } else {
      const needed = locked.has(path) || now - mtimeMs < IN_USE_MILLISECONDS;
      items.push({ path, kind, bytes, mtimeMs, needed });
    }
  }
  return items;
}

async function listRootfsItems(folder: string, now: number): Promise<Item[]> {
  const folders = await listRootfs(folder, now, KEPT_ROOTFS);
  return Promise.all(
    folders.map(async ({ path, whole, used, stays }): Promise<Item> => {
      const kind = whole ? "rootfs" : "unfinished";
      return { path, kind, bytes: await bytesOf(path), mtimeMs: used, needed: stays };
    }),
  );
}

/**
 * Removes what is not needed; gives what was removed. Throws CacheError when the cache is read-only. What a build
 * begins to use meanwhile stays.
 */
export async function pruneCache(directory: string, lock: PackageLock, now: number): Promise<CacheItem[]> {
  const superfluous = (await listItems(directory, lock, now)).filter(({ needed }) => !needed);
  if (superfluous.length === 0) return [];
  await requireWritable(directory, "nothing can be removed from it");
  for (const { path, mtimeMs } of superfluous) {
    if (!path.startsWith(join(directory, "rootfs"))) await removeUnused(path, mtimeMs);
  }
  await pruneRootfs(join(directory, "rootfs"), now, KEPT_ROOTFS);
  const left = new Set((await listItems(directory, lock, now)).map(({ path }) => path));
  return superfluous.filter(({ path }) => !left.has(path)).map(({ mtimeMs: _, ...item }) => item);
}

/** Takes the file out of sight at once, then removes it, unless a build used it since: then that gets it back. */
async function removeUnused(path: string, mtimeMs: number): Promise<void> {
  // The name of a part: should this be ended here, the next build or pruning knows what to do with it.
  const aside = asideName(path);
  try {
    await rename(path, aside);
    if ((await stat(aside)).mtimeMs === mtimeMs) await rm(aside);
    else await rename(aside, path);
  } catch (error) {
    // A build took it, or somebody else removed it.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return (
    await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    })
  ).sort();
}

/** Of a file, or of all files in a folder; what goes away meanwhile does not count. */
async function bytesOf(path: string): Promise<number> {
  const there = await stat(path).catch(() => undefined);
  if (!there?.isDirectory()) return there?.size ?? 0;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => bytesOf(join(path, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
