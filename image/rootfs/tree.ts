/**
 * The file tree of a root file system, in memory: what .deb files, the offline configuration and the
 * appliance put in, and what the squashfs writer takes out. Paths are relative to the root, without a
 * leading or trailing slash, `/` between names, as UTF-8 text; the root itself is "".
 */

type Attributes = {
  /** Permission bits, set-id and sticky bits included (0o7777). */
  mode: number;
  uid: number;
  gid: number;
};

export type FileEntry = Attributes & { type: "file"; content: Uint8Array };
export type DirectoryEntry = Attributes & { type: "directory" };
export type SymlinkEntry = Attributes & { type: "symlink"; target: string };
/** Another name of the file at `target` (a path of this tree, of type "file"). */
export type HardLinkEntry = Attributes & { type: "hardlink"; target: string };
export type DeviceEntry = Attributes & { type: "block" | "character"; major: number; minor: number };
export type FifoEntry = Attributes & { type: "fifo" };
export type TreeEntry = FileEntry | DirectoryEntry | SymlinkEntry | HardLinkEntry | DeviceEntry | FifoEntry;

/** Every entry by its path. Parents of an entry need not be present: `completeDirectories` adds them. */
export type Tree = Map<string, TreeEntry>;

/** Sets a file, text encoded as UTF-8, owned by root unless said otherwise. */
export function setFile(
  tree: Tree,
  path: string,
  content: string | Uint8Array,
  attributes: Partial<Attributes> = {},
): void {
  tree.set(path, {
    type: "file",
    mode: attributes.mode ?? 0o644,
    uid: attributes.uid ?? 0,
    gid: attributes.gid ?? 0,
    content: typeof content === "string" ? new TextEncoder().encode(content) : content,
  });
}

/** Sets a directory (0755 root:root unless said otherwise); one that exists gets the new attributes. */
export function setDirectory(tree: Tree, path: string, attributes: Partial<Attributes> = {}): void {
  tree.set(path, {
    type: "directory",
    mode: attributes.mode ?? 0o755,
    uid: attributes.uid ?? 0,
    gid: attributes.gid ?? 0,
  });
}

export function setSymlink(tree: Tree, path: string, target: string): void {
  tree.set(path, { type: "symlink", mode: 0o777, uid: 0, gid: 0, target });
}

/** The content of the file at `path` as UTF-8 text. Throws when there is no file. */
export function readText(tree: Tree, path: string): string {
  const entry = tree.get(path);
  if (entry?.type !== "file") throw new Error(`the root file system has no file /${path}`);
  return new TextDecoder().decode(entry.content);
}

/** Adds every missing parent directory as 0755 root:root. */
export function completeDirectories(tree: Tree): void {
  for (const path of [...tree.keys()]) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const parent = path.slice(0, end);
      if (tree.has(parent)) break;
      setDirectory(tree, parent);
    }
  }
  if (!tree.has("")) setDirectory(tree, "");
}
