/**
 * Writes the binary index files of kernel modules (modules.*.bin): a prefix tree from names or patterns to
 * values. Called by image/rootfs/module-index.ts; pure. Format: kmod libkmod/libkmod-index.c, version 2.1.
 * All integers are big-endian.
 *
 * File: magic, version, reference of the root; then the nodes. Node: prefix with NUL (if not empty); first
 * and last character and the references of the children between them (if any); count of values, and for
 * each its priority and text with NUL (if any). A reference is the node's offset with flags in its top bits
 * that say which parts it has; 0 is no node.
 */

export type TrieEntry = Readonly<{
  key: string;
  value: string;
  /** Values of one key are tried from the lowest on. */
  priority: number;
}>;

const MAGIC = 0xb007f457;
const VERSION = 0x0002_0001;
const HEADER_SIZE = 12;
const HAS_PREFIX = 0x8000_0000;
const HAS_VALUES = 0x4000_0000;
const HAS_CHILDREN = 0x2000_0000;
const OFFSET_MAX = 0x0fff_ffff;
/** The reader knows children for 7-bit characters only. */
const KEY = /^[ -~]*$/;

/** The file's content. Throws RangeError when a key is not ASCII. */
export function encodeTrie(entries: readonly TrieEntry[]): Uint8Array {
  for (const { key } of entries) {
    if (!KEY.test(key)) throw new RangeError(`module index: "${key}" is not ASCII`);
  }
  // Latest first, then by priority: of equal priorities the latest comes first, as depmod has it.
  const values = Map.groupBy(
    entries.toReversed().sort((a, b) => a.priority - b.priority),
    ({ key }) => key,
  );
  const keys = [...values.keys()].sort();

  const chunks: Buffer[] = [Buffer.alloc(HEADER_SIZE)];
  let size = HEADER_SIZE;

  /** Writes the node for keys[from..to), which share `depth` characters; children come before their parent. */
  const writeNode = (from: number, to: number, depth: number, prefixEnd: number): number => {
    let next = from;
    const own = keys[from]?.length === prefixEnd ? values.get(keys[next++]!) : undefined;
    const children: number[] = [];
    const first = next < to ? keys[next]!.charCodeAt(prefixEnd) : 0;
    while (next < to) {
      const character = keys[next]!.charCodeAt(prefixEnd);
      let end = next + 1;
      while (end < to && keys[end]!.charCodeAt(prefixEnd) === character) end++;
      const childDepth = prefixEnd + 1;
      children[character - first] = writeNode(
        next,
        end,
        childDepth,
        commonLength(keys[next]!, keys[end - 1]!),
      );
      next = end;
    }

    const prefix = keys[from]?.slice(depth, prefixEnd) ?? "";
    const parts: Buffer[] = [];
    let flags = 0;
    if (prefix !== "") {
      flags += HAS_PREFIX;
      parts.push(Buffer.from(`${prefix}\0`, "latin1"));
    }
    if (children.length > 0) {
      flags += HAS_CHILDREN;
      const references = Array.from(children, (reference) => reference ?? 0);
      parts.push(Buffer.from([first, first + children.length - 1]), u32(...references));
    }
    if (own !== undefined) {
      flags += HAS_VALUES;
      parts.push(u32(own.length));
      for (const { priority, value } of own) parts.push(u32(priority), Buffer.from(`${value}\0`, "latin1"));
    }
    const offset = size;
    if (offset > OFFSET_MAX) throw new RangeError("module index: larger than 256 MiB");
    for (const part of parts) size += part.length;
    chunks.push(...parts);
    return offset + flags;
  };

  // The root's prefix is always empty.
  const root = writeNode(0, keys.length, 0, 0);
  u32(MAGIC, VERSION, root).copy(chunks[0]!);
  return Buffer.concat(chunks);
}

/** Sorted keys share what the first and the last of them share. */
function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, index * 4);
  });
  return bytes;
}
