/**
 * What is in the cache directory, what of it is needed, and how the rest is removed while builds may be running.
 * Called by `./homing cache`. What does not have a name and kind that the builder writes is not the builder's own, for
 * --cache may name any folder: it is counted and left alone, and links are not followed.
 */
import type { Stats } from "node:fs";
import { lstat, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { requireWritable } from "./packages/cache.ts";
import { packagePath } from "./packages/download.ts";
import type { PackageLock } from "./packages/lock.ts";
import { cachedRuntime } from "./packages/node-runtime.ts";
import { asideName, partsIn } from "./packages/part-file.ts";
import { renameWhenFree } from "./rename.ts";
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
/**
 * Names of the builder's own files, as packagePath and cachedRuntime give them. Pruning adds ".PID-RANDOM.part" as a
 * download does, also to a part.
 */
const PART_ENDING = String.raw`(?:\.\d+-[0-9a-f]{8}\.part)*`;
const ownFiles = {
  packages: new RegExp(String.raw`^[0-9a-f]{16}-[\w.+~-]+\.deb${PART_ENDING}$`),
  node: new RegExp(String.raw`^node-linux-(?:x64|arm64)-\d+\.\d+\.\d+\.tgz${PART_ENDING}$`),
} as const;

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
  const known = new Set(items.map(({ path }) => path));
  const folders: string[] = [];
  for (const folder of [packages!, node!, rootfs!]) if (await isFolder(folder)) folders.push(folder);
  for (const folder of folders) known.add(folder);
  for (const folder of [directory, ...folders]) {
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
  if (!(await isFolder(folder))) return [];
  const parts = new Map((await partsIn(folder)).map((part) => [part.path, part]));
  const names = (await namesIn(folder)).filter((name) => ownFiles[kind].test(name));
  const paths = new Set(names.map((name) => join(folder, name)));
  const items: Item[] = [];
  for (const path of paths) {
    const there = await statsOf(path);
    if (!there?.isFile()) continue;
    const { size: bytes, mtimeMs } = there;
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
  if (!(await isFolder(folder))) return [];
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
    if (dirname(path) !== join(directory, "rootfs")) await removeUnused(path, mtimeMs);
  }
  const rootfs = join(directory, "rootfs");
  if (await isFolder(rootfs)) await pruneRootfs(rootfs, now, KEPT_ROOTFS);
  const left = new Set((await listItems(directory, lock, now)).map(({ path }) => path));
  return superfluous.filter(({ path }) => !left.has(path)).map(({ mtimeMs: _, ...item }) => item);
}

/** Takes the file out of sight at once, then removes it, unless a build used it since: then that gets it back. */
async function removeUnused(path: string, mtimeMs: number): Promise<void> {
  // The name of a part: should this be ended here, the next build or pruning knows what to do with it.
  const aside = asideName(path);
  try {
    await renameWhenFree(path, aside);
    if ((await lstat(aside)).mtimeMs === mtimeMs) await rm(aside);
    else await renameWhenFree(aside, path);
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

/** Whose content is the builder's; it may be a link, for a cache may be spread over disks. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    // Nothing there, or a link to nothing or to itself.
    if (["ENOENT", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** Of what has this name itself, be it a link; undefined when there is nothing, or nothing any more. */
async function statsOf(path: string): Promise<Stats | undefined> {
  return await lstat(path).catch(() => undefined);
}

/** Of a file, or of all files in a folder; what goes away meanwhile does not count. */
async function bytesOf(path: string): Promise<number> {
  const there = await statsOf(path);
  if (!there?.isDirectory()) return there?.size ?? 0;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => bytesOf(join(path, name))));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
