/**
 * Lays the contents of Debian packages over one another as dpkg would, into one tree. Called by assemble.ts.
 * Owners are the archive's numbers: Debian's packages only use root and the fixed ids of base-passwd there.
 */
import type { TarEntry } from "../formats/tar.ts";
import { exclusionReason } from "./exclude.ts";
import type { Tree, TreeEntry } from "./tree.ts";

/** Two packages claim one path, or a package holds what the tree cannot. */
export class MergeError extends Error {
  override name = "MergeError";
}

/** Files of a package by their path: what merging takes, and what boot files are picked from. */
export type PackageContent = Readonly<{ name: string; entries: readonly TarEntry[] }>;

/** Top-level links of a merged-/usr system; packages from before the merge still name paths below them. */
const USR_MERGED = new Set(["bin", "sbin", "lib", "lib32", "lib64", "libx32"]);

/** "bin/sh" → "usr/bin/sh"; the links themselves ("bin") stay as base-files ships them. */
export function usrMergedPath(path: string): string {
  const slash = path.indexOf("/");
  return slash > 0 && USR_MERGED.has(path.slice(0, slash)) ? `usr/${path}` : path;
}

/**
 * Puts the packages' entries into `tree` in the order given, without what exclude.ts names.
 * Throws MergeError when two packages bring a different thing at one path (dpkg would refuse, too).
 */
export function mergePackages(tree: Tree, packages: readonly PackageContent[]): void {
  const owners = new Map<string, string>();
  for (const { name, entries } of packages) {
    for (const entry of entries) {
      const path = usrMergedPath(entry.path);
      if (path === "" || exclusionReason(path) !== undefined) continue;
      const before = tree.get(path);
      if (before && entry.type === "directory" && isDirectoryLike(before)) continue;
      if (before && before.type !== "directory") {
        throw new MergeError(
          `the packages ${owners.get(path)} and ${name} both bring /${path}; one of them must be left out`,
        );
      }
      tree.set(path, treeEntry(entry, name));
      owners.set(path, name);
    }
  }
  checkHardLinks(tree);
}

/** A directory, or a link in its place (/bin): both hold what other packages put below. */
function isDirectoryLike(entry: TreeEntry): boolean {
  return entry.type === "directory" || entry.type === "symlink";
}

function treeEntry(entry: TarEntry, packageName: string): TreeEntry {
  const attributes = { mode: entry.mode, uid: entry.uid, gid: entry.gid };
  switch (entry.type) {
    case "file":
      return { ...attributes, type: "file", content: entry.content };
    case "directory":
    case "fifo":
      return { ...attributes, type: entry.type };
    case "symlink":
      return { ...attributes, mode: 0o777, type: "symlink", target: entry.target };
    case "hardlink":
      return { ...attributes, type: "hardlink", target: usrMergedPath(entry.target) };
    default:
      throw new MergeError(`the package ${packageName} brings a device node, /${entry.path}`);
  }
}

/** The archive's hard links must lead to a file that is in the tree, or the squashfs writer could not write them. */
function checkHardLinks(tree: Tree): void {
  for (const [path, entry] of tree) {
    if (entry.type === "hardlink" && tree.get(entry.target)?.type !== "file") {
      throw new MergeError(`/${path} is a hard link to /${entry.target}, which was left out`);
    }
  }
}
