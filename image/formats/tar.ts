/**
 * Reads tar archives: the data of Debian packages and the npm packages that carry the Node runtime.
 * POSIX.1-1988 ustar and POSIX.1-2001 pax headers, with GNU's long names (types L and K) and base-256
 * numbers. Called by image/packages/{deb,node-runtime}.ts. Sparse files and volumes are refused.
 */

export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "block" | "character" | "fifo";

export type TarEntry = Readonly<{
  /** Relative to the archive's root, without "./" before or "/" after it; the root itself is "". */
  path: string;
  type: TarEntryType;
  /** Permission bits with set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  groupName: string;
  /** Modification time in seconds since 1970. */
  time: number;
  /** A symlink's target as it stands there; a hard link's target in the same form as `path`; else "". */
  target: string;
  /** A file's bytes, a view of the archive; empty for everything else. */
  content: Uint8Array;
  /** Device numbers, 0 unless type is "block" or "character". */
  major: number;
  minor: number;
}>;

/** The bytes are not a tar archive that this reader understands. */
export class TarError extends Error {
  override name = "TarError";
}

const BLOCK = 512;
/** Longer names and pax headers than this only occur in hostile archives (Linux: PATH_MAX is 4096). */
const MAX_EXTENSION_BYTES = 1 << 20;

const TYPES: Readonly<Record<string, TarEntryType>> = {
  "\0": "file",
  "0": "file",
  "7": "file", // "contiguous" file, to be read like any other
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

/** Offset and length of the fields of a header block (POSIX.1-2017, pax, "ustar Interchange Format"). */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  chksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

type Field = keyof typeof FIELDS;

/**
 * All entries in the archive's order. Contents are views of `bytes`.
 * Throws TarError for a wrong checksum, an unknown type, a cut-off archive, or a path that leaves the root.
 */
export function readTar(bytes: Uint8Array): TarEntry[] {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: TarEntry[] = [];
  const globalPax = new Map<string, string>();
  let pax = new Map<string, string>();
  let offset = 0;
  let ended = false;
  while (offset + BLOCK <= archive.length) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (isZero(header)) {
      ended = true;
      break;
    }
    checkHeader(header, offset);
    const typeflag = header.toString("latin1", 156, 157);
    const sizeInPax = pax.get("size") ?? globalPax.get("size");
    const size = sizeInPax === undefined ? readNumber(header, "size", offset) : Number(sizeInPax);
    const start = offset + BLOCK;
    const next = start + Math.ceil(size / BLOCK) * BLOCK;
    if (!Number.isSafeInteger(size) || size < 0 || start + size > archive.length) {
      throw new TarError(`the archive is cut off: the entry at byte ${offset} wants ${size} bytes`);
    }
    const content = archive.subarray(start, start + size);
    offset = next;
    if ("LKxg".includes(typeflag)) {
      if (size > MAX_EXTENSION_BYTES) throw new TarError(`an extended header of ${size} bytes is refused`);
      if (typeflag === "L") pax.set("path", cString(content));
      else if (typeflag === "K") pax.set("linkpath", cString(content));
      else readPax(content, typeflag === "x" ? pax : globalPax);
      continue;
    }
    const type = TYPES[typeflag];
    if (!type)
      throw new TarError(`entries of type "${typeflag}" are not supported (${text(header, "name")})`);
    const extended = new Map([...globalPax, ...pax]);
    entries.push(readEntry(header, type, extended, content, offset));
    pax = new Map();
  }
  // POSIX asks for two blocks of zeros at the end; without any, the archive was cut off between two entries.
  if (!ended) throw new TarError("the archive is cut off: its end mark is missing");
  return entries;
}

function readEntry(
  header: Buffer,
  type: TarEntryType,
  extended: ReadonlyMap<string, string>,
  content: Uint8Array,
  offset: number,
): TarEntry {
  const prefix = text(header, "magic") === "ustar" ? text(header, "prefix") : "";
  const name = extended.get("path") ?? (prefix ? `${prefix}/` : "") + text(header, "name");
  const linkName = extended.get("linkpath") ?? text(header, "linkname");
  const number = (field: Field, key: string): number => {
    const value = extended.get(key);
    if (value === undefined) return readNumber(header, field, offset);
    if (!/^-?\d{1,15}(\.\d*)?$/.test(value)) throw new TarError(`the pax ${key} of "${name}" is no number`);
    return Math.floor(Number(value)); // times may have fractions
  };
  // Before ustar a directory was a file whose name ends in a slash.
  const realType = type === "file" && name.endsWith("/") ? "directory" : type;
  const isDevice = realType === "block" || realType === "character";
  return {
    path: relativePath(name),
    type: realType,
    mode: readNumber(header, "mode", offset) & 0o7777,
    uid: number("uid", "uid"),
    gid: number("gid", "gid"),
    userName: extended.get("uname") ?? text(header, "uname"),
    groupName: extended.get("gname") ?? text(header, "gname"),
    time: number("mtime", "mtime"),
    target: realType === "hardlink" ? relativePath(linkName) : realType === "symlink" ? linkName : "",
    content: realType === "file" ? content : content.subarray(0, 0),
    major: isDevice ? readNumber(header, "devmajor", offset) : 0,
    minor: isDevice ? readNumber(header, "devminor", offset) : 0,
  };
}

/** "./usr/bin/" → "usr/bin"; refuses absolute paths and "..": no archive may name a place outside its root. */
function relativePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || name.includes("\0") || parts.includes("..")) {
    throw new TarError(`the path "${name}" leaves the archive's root`);
  }
  return parts.join("/");
}

/** The checksum is the sum of the header's bytes with its own field taken as blanks. */
function checkHeader(header: Buffer, offset: number): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]!;
  if (sum !== readNumber(header, "chksum", offset)) {
    throw new TarError(`the checksum of the header at byte ${offset} is wrong`);
  }
}

/** Octal text, or base 256 with the first bit set for what does not fit (GNU). */
function readNumber(header: Buffer, field: Field, offset: number): number {
  const [start, length] = FIELDS[field];
  const first = header[start]!;
  if (first & 0x80) {
    // 0xff begins a negative number; with any other byte the number is beyond what a field can mean.
    let value = first === 0x80 ? 0 : Number.POSITIVE_INFINITY;
    for (let i = start + 1; i < start + length; i++) value = value * 256 + header[i]!;
    if (!Number.isSafeInteger(value)) {
      throw new TarError(`the ${field} of the header at byte ${offset} is out of range`);
    }
    return value;
  }
  const digits = text(header, field).trim();
  if (!/^[0-7]*$/.test(digits)) {
    throw new TarError(`the ${field} of the header at byte ${offset} is not a number: "${digits}"`);
  }
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function text(header: Buffer, field: Field): string {
  const [start, length] = FIELDS[field];
  return cString(header.subarray(start, start + length));
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

/** Records of the form "LENGTH KEY=VALUE\n", the length counting the whole record. */
function readPax(content: Buffer, into: Map<string, string>): void {
  let at = 0;
  while (at < content.length) {
    const blank = content.indexOf(0x20, at);
    const length = blank < 0 ? Number.NaN : Number(content.toString("latin1", at, blank));
    const record = content.toString("utf8", blank + 1, at + length - 1);
    const equals = record.indexOf("=");
    if (!(length > 0) || at + length > content.length || content[at + length - 1] !== 0x0a || equals < 1) {
      throw new TarError("a pax header record is malformed");
    }
    const key = record.slice(0, equals);
    if (key.startsWith("GNU.sparse.")) throw new TarError("sparse files are not supported");
    // File capabilities among them: a program without its own would fail in ways that nobody could explain.
    if (/^(SCHILY|LIBARCHIVE)\.(xattr|acl)\./.test(key)) {
      throw new TarError(`extended attributes are not supported (${key}): they would be lost`);
    }
    into.set(key, record.slice(equals + 1));
    at += length;
  }
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}
