/**
 * What is in a folder that a format's own tool made or the kernel shows, and what must be in it by the tree it was
 * made from. Used by the tests of the writers.
 */
import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { setDirectory, type Tree } from "../../../image/rootfs/tree.ts";

const HARD_LINKS = "names of one file";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const sorted = (map: Map<string, unknown>): [string, unknown][] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));
const groups = (names: Iterable<string[]>): string[][] =>
  [...names]
    .filter((paths) => paths.length > 1)
    .map((paths) => paths.sort())
    .sort(([a], [b]) => (a! < b! ? -1 : 1));

/** What a mounted or unpacked directory holds, in the form of `expectation`. */
export async function inventory(directory: string): Promise<[string, unknown][]> {
  const found = new Map<string, unknown>();
  const inodes = new Map<number, string[]>();
  const visit = async (path: string): Promise<void> => {
    const full = join(directory, path);
    const stat = await lstat(full);
    const type = stat.mode & 0o170000;
    found.set(path, {
      type,
      mode: type === 0o120000 ? 0o777 : stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      time: stat.mtimeMs / 1000,
      links: stat.nlink,
      ...(stat.isFile() && { size: stat.size, sha256: sha256(await readFile(full)) }),
      ...(stat.isSymbolicLink() && { target: await readlink(full) }),
      ...((stat.isBlockDevice() || stat.isCharacterDevice()) && { device: stat.rdev }),
    });
    if (stat.isFile()) inodes.set(stat.ino, [...(inodes.get(stat.ino) ?? []), path]);
    if (stat.isDirectory()) {
      for (const name of await readdir(full)) await visit(path === "" ? name : `${path}/${name}`);
    }
  };
  await visit("");
  found.set(HARD_LINKS, groups(inodes.values()));
  return sorted(found);
}

const TYPE_BITS = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  block: 0o060000,
  character: 0o020000,
  fifo: 0o010000,
};

/** What `inventory` must find of the tree, with the modification time of everything in seconds. */
export function expectation(tree: Tree, time: number): [string, unknown][] {
  const expected = new Map<string, unknown>();
  const parents = new Set(
    [...tree.keys()].flatMap((path) => path.split("/").map((_, i, names) => names.slice(0, i).join("/"))),
  );
  const complete: Tree = new Map(tree);
  for (const path of parents) if (!complete.has(path)) setDirectory(complete, path);
  const subdirectories = new Map<string, number>();
  for (const [path, { type }] of complete) {
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    if (path !== "" && type === "directory")
      subdirectories.set(parent, (subdirectories.get(parent) ?? 0) + 1);
  }
  const links = new Map<string, number>();
  for (const entry of complete.values()) {
    if (entry.type === "hardlink") links.set(entry.target, (links.get(entry.target) ?? 0) + 1);
  }
  for (const [path, listed] of complete) {
    const entry = listed.type === "hardlink" ? complete.get(listed.target)! : listed;
    if (entry.type === "hardlink") throw new Error("a hard link to a hard link");
    const original = listed.type === "hardlink" ? listed.target : path;
    expected.set(path, {
      type: TYPE_BITS[entry.type],
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      time,
      links:
        entry.type === "directory" ? 2 + (subdirectories.get(path) ?? 0) : 1 + (links.get(original) ?? 0),
      ...(entry.type === "file" && { size: entry.content.length, sha256: sha256(entry.content) }),
      ...(entry.type === "symlink" && { target: entry.target }),
      ...((entry.type === "block" || entry.type === "character") && {
        // Linux makedev() in user space: (minor & 0xff) | major << 8 | (minor & ~0xff) << 12.
        device: (entry.minor & 0xff) + entry.major * 256 + (entry.minor & ~0xff) * 4096,
      }),
    });
  }
  const names = Map.groupBy(complete, ([path, entry]) => (entry.type === "hardlink" ? entry.target : path));
  expected.set(HARD_LINKS, groups([...names.values()].map((same) => same.map(([path]) => path))));
  return sorted(expected);
}
