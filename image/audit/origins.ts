/**
 * Tells where each file of a root file system comes from, by watching it being put together, and what became of each
 * file of the packages. Called by expected.ts for the audit, and by the tests that hold packages and root file
 * system against each other.
 */
import type { TarEntry } from "../formats/tar.ts";
import { PACKAGES_STEP } from "../rootfs/assemble.ts";
import { exclusionReason } from "../rootfs/exclude.ts";
import { type PackageContent, usrMergedPath } from "../rootfs/merge.ts";
import type { Tree, TreeEntry } from "../rootfs/tree.ts";

export type OriginTrace = Readonly<{
  /** To be given to makeRootContent. */
  afterStep: (tree: Tree, place: string) => void;
  /** Which places in the sources made, changed or removed the entry at a path since the packages were merged. */
  places: (path: string) => readonly string[];
}>;

/** Watches assembleRootfs. */
export function traceOrigins(): OriginTrace {
  const places = new Map<string, string[]>();
  let before: Tree = new Map();
  return {
    afterStep(tree, place) {
      const note = (path: string) => places.set(path, [...(places.get(path) ?? []), place]);
      // Entries are replaced, never changed in place, so that the same object is the same file.
      for (const [path, entry] of tree) if (before.get(path) !== entry) note(path);
      for (const path of before.keys()) if (!tree.has(path)) note(path);
      before = new Map(tree);
    },
    places: (path) => (places.get(path) ?? []).filter((place) => place !== PACKAGES_STEP),
  };
}

/** What became of an entry of a package. */
export type PackagedFile = Readonly<{
  package: string;
  path: string;
  /** "kept" as it is packaged: kind, content, target, mode and owner. */
  fate: "kept" | "changed" | "left out";
  /** Why it was changed or left out; undefined for one that was kept, and for one that nothing accounts for. */
  reason?: string;
}>;

/** Accounts for every entry of the packages; `merged` are the names of those that go into the root file system. */
export function accountForPackages(
  tree: Tree,
  packages: readonly PackageContent[],
  trace: OriginTrace,
): PackagedFile[] {
  const accounts: PackagedFile[] = [];
  for (const { name, entries } of packages) {
    for (const entry of entries) {
      const path = usrMergedPath(entry.path);
      if (path === "") continue;
      const found = tree.get(path);
      const account = { package: name, path };
      const isFolderThere =
        entry.type === "directory" && (found?.type === "directory" || found?.type === "symlink");
      if (found && isSame(found, entry)) accounts.push({ ...account, fate: "kept" });
      else
        accounts.push({
          ...account,
          fate: found ? "changed" : "left out",
          ...reasonFor(path, isFolderThere),
        });
    }
  }
  return accounts;

  function reasonFor(path: string, isFolderThere: boolean): { reason?: string } {
    const places = trace.places(path);
    if (places.length > 0) return { reason: `by ${places.join(" and ")}` };
    // dpkg, too, leaves a folder as the first package brought it.
    if (isFolderThere) return { reason: "another package brought the folder first" };
    const reason = exclusionReason(path);
    return reason === undefined ? {} : { reason };
  }
}

function isSame(found: TreeEntry, entry: TarEntry): boolean {
  if (found.type !== entry.type) return false;
  if (found.type === "symlink") return found.target === entry.target;
  if (found.type === "hardlink") return found.target === usrMergedPath(entry.target);
  if (found.mode !== entry.mode || found.uid !== entry.uid || found.gid !== entry.gid) return false;
  return found.type !== "file" || Buffer.compare(found.content, entry.content) === 0;
}
