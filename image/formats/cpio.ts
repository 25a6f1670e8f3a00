/**
 * Writes a file tree as a cpio archive in the "newc" form, which Linux takes as an initramfs. Called by
 * image/initramfs. Pure. Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
import { completeDirectories, type Tree, type TreeEntry } from "../rootfs/tree.ts";

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
/** Names and contents end on a multiple of this. */
const ALIGNMENT = 4;
/** The customary block size of cpio; the kernel skips the zeros, so that archives can be joined. */
const ARCHIVE_ALIGNMENT = 512;
const U32_MAX = 0xffff_ffff;

const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  block: 0o060000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

type Member = {
  name: string;
  inode: number;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  content: Uint8Array;
  major: number;
  minor: number;
};

const NOTHING = new Uint8Array();

/**
 * The archive as pieces to write one after the other (contents are not copied). Parents come before what
 * they hold, names in the order of their bytes; inode numbers count from 1, so the same tree and `time`
 * (modification time of everything, in seconds) give the same bytes. Missing directories become 0755
 * root:root. Throws when a hard link has no target or a number does not fit its eight hexadecimal digits.
 */
export function buildCpio(tree: Tree, { time }: { time: number }): Uint8Array[] {
  const complete: Tree = new Map(tree);
  completeDirectories(complete);
  const paths = [...complete.keys()].filter((path) => path !== "");
  paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  const namesOf = new Map<string, string[]>();
  for (const path of paths) {
    const entry = complete.get(path)!;
    const original = entry.type === "hardlink" ? entry.target : path;
    namesOf.set(original, [...(namesOf.get(original) ?? []), path]);
  }

  const pieces: Uint8Array[] = [];
  let size = 0;
  const append = (piece: Uint8Array, alignment: number): void => {
    const padding = -(size + piece.length) & (alignment - 1);
    pieces.push(piece);
    if (padding > 0) pieces.push(new Uint8Array(padding));
    size += piece.length + padding;
  };
  const appendMember = (member: Member): void => {
    append(header(member, time), ALIGNMENT);
    append(member.content, ALIGNMENT);
  };

  const inodes = new Map<string, number>();
  for (const path of paths) {
    const listed = complete.get(path)!;
    const original = listed.type === "hardlink" ? listed.target : path;
    const entry = complete.get(original);
    if (
      entry === undefined ||
      entry.type === "hardlink" ||
      (listed.type === "hardlink" && entry.type !== "file")
    ) {
      throw new Error(`/${path} is a hard link to /${original}, which is no file`);
    }
    const names = namesOf.get(original)!;
    const inode = inodes.get(original) ?? inodes.size + 1;
    inodes.set(original, inode);
    appendMember({
      name: path,
      inode,
      mode: TYPE_BITS[entry.type] | entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      links: entry.type === "directory" ? 2 : names.length,
      // Of several names for one file, the last carries the content.
      content: path === names.at(-1) ? contentOf(entry) : NOTHING,
      major: "major" in entry ? entry.major : 0,
      minor: "minor" in entry ? entry.minor : 0,
    });
  }
  append(
    header(
      { name: TRAILER, inode: 0, mode: 0, uid: 0, gid: 0, links: 1, content: NOTHING, major: 0, minor: 0 },
      0,
    ),
    ARCHIVE_ALIGNMENT,
  );
  return pieces;
}

function contentOf(entry: TreeEntry): Uint8Array {
  if (entry.type === "file") return entry.content;
  if (entry.type === "symlink") return new TextEncoder().encode(entry.target);
  return NOTHING;
}

/** The header of one member with its name and the name's NUL. */
function header(member: Member, time: number): Uint8Array {
  const name = Buffer.from(`${member.name}\0`, "utf8");
  const fields = [
    member.inode,
    member.mode,
    member.uid,
    member.gid,
    member.links,
    time,
    member.content.length,
    0, // device the archive was made from, major
    0, // and minor
    member.major,
    member.minor,
    name.length,
    0, // checksum, only of the "newcrc" form
  ];
  const digits = fields.map((value) => {
    if (!Number.isInteger(value) || value < 0 || value > U32_MAX) {
      throw new RangeError(`cpio: /${member.name}: ${value} does not fit 32 bits`);
    }
    return value.toString(16).padStart(8, "0");
  });
  return Buffer.concat([Buffer.from(MAGIC + digits.join(""), "ascii"), name]);
}
