/**
 * A file tree made ready for squashfs: names as bytes in squashfs order, hard links resolved to one node,
 * inodes numbered. Called by the squashfs writer only; pure. Limits are those of the format
 * (Linux fs/squashfs/squashfs_fs.h) and of the kernel that mounts it.
 */
import { completeDirectories, type Tree, type TreeEntry } from "../rootfs/tree.ts";

/** Linux NAME_MAX; squashfs itself would allow 256. */
const NAME_BYTES_MAX = 255;
/** A longer target does not fit the page the kernel reads it into (PATH_MAX with its NUL). */
const SYMLINK_BYTES_MAX = 4095;
/** Ids and device numbers are stored in 32, 12 and 20 bits. */
const ID_MAX = 0xffff_ffff;
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xf_ffff;

type Common = {
  /** First path of the node, for messages. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Counted from 1 in the order of the paths, parents before children. */
  inodeNumber: number;
  linkCount: number;
};

export type DirectoryNode = Common & { readonly type: "directory"; readonly children: NamedNode[] };
export type FileNode = Common & { readonly type: "file"; readonly content: Uint8Array };
export type SymlinkNode = Common & { readonly type: "symlink"; readonly target: Buffer };
export type DeviceNode = Common & {
  readonly type: "block" | "character";
  readonly major: number;
  readonly minor: number;
};
export type FifoNode = Common & { readonly type: "fifo" };
export type SquashfsNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | FifoNode;
export type NamedNode = Readonly<{ name: Buffer; node: SquashfsNode }>;

export type NodeSet = Readonly<{
  root: DirectoryNode;
  /** Every regular file once, in the order of inode numbers. */
  files: readonly FileNode[];
  inodeCount: number;
}>;

/** The tree holds something squashfs or the kernel cannot represent. */
export class SquashfsTreeError extends Error {
  override name = "SquashfsTreeError";
}

/** Throws SquashfsTreeError, naming the path, when the tree cannot be written. Does not change `tree`. */
export function numberNodes(tree: Tree): NodeSet {
  const complete: Tree = new Map(tree);
  completeDirectories(complete);

  const nodes = new Map<string, SquashfsNode>();
  for (const [path, entry] of complete) {
    if (entry.type !== "hardlink") nodes.set(path, toNode(path, entry));
  }
  for (const [path, entry] of complete) {
    if (entry.type !== "hardlink") continue;
    const target = nodes.get(entry.target);
    if (target?.type !== "file" || complete.get(entry.target)?.type !== "file") {
      throw new SquashfsTreeError(`/${path} is a hard link to /${entry.target}, which is no file`);
    }
    target.linkCount++;
    nodes.set(path, target);
  }

  const root = nodes.get("");
  if (root?.type !== "directory") throw new SquashfsTreeError("the root of the tree is not a directory");
  for (const [path, node] of nodes) {
    if (path === "") continue;
    const slash = path.lastIndexOf("/");
    const parent = nodes.get(path.slice(0, Math.max(slash, 0)));
    if (parent?.type !== "directory") {
      throw new SquashfsTreeError(`/${path} lies in something that is not a directory`);
    }
    parent.children.push({ name: nameBytes(path, path.slice(slash + 1)), node });
    if (node.type === "directory") parent.linkCount++;
  }

  const files: FileNode[] = [];
  let inodeCount = 0;
  const visit = (directory: DirectoryNode): void => {
    directory.inodeNumber = ++inodeCount;
    directory.children.sort((a, b) => Buffer.compare(a.name, b.name));
    for (const { node } of directory.children) {
      if (node.type === "directory") visit(node);
      else if (node.inodeNumber === 0) {
        node.inodeNumber = ++inodeCount;
        if (node.type === "file") files.push(node);
      }
    }
  };
  visit(root);
  return { root, files, inodeCount };
}

function toNode(path: string, entry: Exclude<TreeEntry, { type: "hardlink" }>): SquashfsNode {
  const { mode, uid, gid } = entry;
  if (!isWithin(mode, 0o7777)) throw new SquashfsTreeError(`/${path}: mode ${mode.toString(8)} is no mode`);
  if (!isWithin(uid, ID_MAX) || !isWithin(gid, ID_MAX)) {
    throw new SquashfsTreeError(`/${path}: owner ${uid}:${gid} is out of range`);
  }
  const common: Common = { path, mode, uid, gid, inodeNumber: 0, linkCount: 1 };
  switch (entry.type) {
    case "directory":
      // Its own "." and its name in the parent; each subdirectory's ".." adds one.
      return { ...common, type: "directory", linkCount: 2, children: [] };
    case "file":
      return { ...common, type: "file", content: entry.content };
    case "symlink": {
      const target = Buffer.from(entry.target, "utf8");
      if (target.length === 0 || target.length > SYMLINK_BYTES_MAX) {
        throw new SquashfsTreeError(`/${path}: link target of ${target.length} bytes, allowed are 1 to 4095`);
      }
      return { ...common, type: "symlink", target };
    }
    case "block":
    case "character":
      if (!isWithin(entry.major, MAJOR_MAX) || !isWithin(entry.minor, MINOR_MAX)) {
        throw new SquashfsTreeError(`/${path}: device ${entry.major}:${entry.minor} is out of range`);
      }
      return { ...common, type: entry.type, major: entry.major, minor: entry.minor };
    case "fifo":
      return { ...common, type: "fifo" };
  }
}

function isWithin(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function nameBytes(path: string, name: string): Buffer {
  const bytes = Buffer.from(name, "utf8");
  if (name === "" || name === "." || name === ".." || name.includes("\0") || bytes.length > NAME_BYTES_MAX) {
    throw new SquashfsTreeError(
      `/${path}: "${name}" cannot be a file name (1 to 255 bytes, not "." or "..")`,
    );
  }
  return bytes;
}
