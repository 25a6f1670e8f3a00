/**
 * Reads and writes flattened device trees (.dtb), the description of a board that its firmware hands to Linux. Called
 * by image/formats/device-tree-overlay.ts and by the tests that boot emulated boards; pure.
 * Layout: Devicetree Specification v0.4 §5; all numbers are big-endian.
 */

export type DeviceNode = Readonly<{
  /** With the unit address ("mmc@7e340000"); "" for the root. */
  name: string;
  properties: ReadonlyMap<string, Uint8Array>;
  children: readonly DeviceNode[];
}>;

export type DeviceTree = Readonly<{
  /** Memory that the system must leave alone (§5.3), 16 bytes each, as they stand in the file. */
  reservations: Uint8Array;
  /** Physical id of the processor that boots. */
  bootProcessor: number;
  root: DeviceNode;
}>;

/** The bytes are no device tree, or one that is not understood. */
export class DeviceTreeError extends Error {
  override name = "DeviceTreeError";
}

const MAGIC = 0xd00d_feed;
const HEADER_BYTES = 40;
const VERSION = 17;
const LAST_COMPATIBLE_VERSION = 16;
const RESERVATION_BYTES = 16;
const TOKEN = { beginNode: 1, endNode: 2, property: 3, nothing: 4, end: 9 } as const;
/** Linux' own unflattening stops at this depth (drivers/of/fdt.c, FDT_MAX_DEPTH). */
const MAX_DEPTH = 64;

/** Throws DeviceTreeError. */
export function readDeviceTree(bytes: Uint8Array): DeviceTree {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (file.length < HEADER_BYTES || file.readUInt32BE(0) !== MAGIC) {
    throw new DeviceTreeError("not a device tree: it does not begin with d00dfeed");
  }
  const totalsize = file.readUInt32BE(4);
  const [offDtStruct, offDtStrings, offMemRsvmap] = [8, 12, 16].map((at) => file.readUInt32BE(at)) as [
    number,
    number,
    number,
  ];
  if (totalsize > file.length || Math.max(offDtStruct, offDtStrings, offMemRsvmap) >= totalsize) {
    throw new DeviceTreeError(
      `the device tree says that it has ${totalsize} bytes, there are ${file.length}`,
    );
  }
  try {
    return {
      reservations: readReservations(file.subarray(offMemRsvmap, totalsize)),
      bootProcessor: file.readUInt32BE(28), // boot_cpuid_phys
      root: readRoot(file.subarray(offDtStruct, totalsize), file.subarray(offDtStrings, totalsize)),
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new DeviceTreeError("the device tree ends in the middle", { cause: error });
  }
}

function readReservations(block: Buffer): Uint8Array {
  let end = 0;
  // An entry of zeros ends the list.
  while (block.readBigUInt64BE(end) !== 0n || block.readBigUInt64BE(end + 8) !== 0n) end += RESERVATION_BYTES;
  return block.subarray(0, end);
}

function readRoot(structure: Buffer, strings: Buffer): DeviceNode {
  let at = 0;
  const token = () => {
    let value: number;
    do {
      value = structure.readUInt32BE(at);
      at += 4;
    } while (value === TOKEN.nothing);
    return value;
  };
  const node = (depth: number): DeviceNode => {
    if (depth > MAX_DEPTH) throw new DeviceTreeError(`the device tree is deeper than ${MAX_DEPTH} nodes`);
    const name = textAt(structure, at);
    at = aligned(at + Buffer.byteLength(name) + 1);
    const properties = new Map<string, Uint8Array>();
    const children: DeviceNode[] = [];
    for (;;) {
      const kind = token();
      if (kind === TOKEN.endNode) return { name, properties, children };
      if (kind === TOKEN.beginNode) {
        children.push(node(depth + 1));
        continue;
      }
      if (kind !== TOKEN.property) throw new DeviceTreeError(`the device tree has a token ${kind} in a node`);
      const length = structure.readUInt32BE(at);
      const nameoff = structure.readUInt32BE(at + 4);
      if (at + 8 + length > structure.length) throw new RangeError("a property ends behind the file");
      properties.set(textAt(strings, nameoff), structure.subarray(at + 8, at + 8 + length));
      at = aligned(at + 8 + length);
    }
  };
  if (token() !== TOKEN.beginNode) throw new DeviceTreeError("the device tree does not begin with a node");
  return node(0);
}

function textAt(block: Buffer, at: number): string {
  const end = block.indexOf(0, at);
  if (end < 0) throw new RangeError("a name ends behind the file");
  return block.toString("utf8", at, end);
}

function aligned(offset: number): number {
  return (offset + 3) & ~3;
}

export function writeDeviceTree({ reservations, bootProcessor, root }: DeviceTree): Uint8Array {
  const pieces: Uint8Array[] = [];
  const strings: Uint8Array[] = [];
  const nameOffsets = new Map<string, number>();
  let stringBytes = 0;
  const add = (piece: Uint8Array) => {
    pieces.push(piece, Buffer.alloc(aligned(piece.length) - piece.length));
  };
  const nameOffset = (name: string): number => {
    const known = nameOffsets.get(name);
    if (known !== undefined) return known;
    const offset = stringBytes;
    const text = Buffer.from(`${name}\0`);
    nameOffsets.set(name, offset);
    strings.push(text);
    stringBytes += text.length;
    return offset;
  };
  const addNode = ({ name, properties, children }: DeviceNode): void => {
    add(numbers(TOKEN.beginNode));
    add(Buffer.from(`${name}\0`));
    for (const [property, value] of properties) {
      add(numbers(TOKEN.property, value.length, nameOffset(property)));
      add(value);
    }
    for (const child of children) addNode(child);
    add(numbers(TOKEN.endNode));
  };
  addNode(root);
  add(numbers(TOKEN.end));

  const structure = Buffer.concat(pieces);
  const reserved = Buffer.concat([reservations, Buffer.alloc(RESERVATION_BYTES)]);
  const structureAt = HEADER_BYTES + reserved.length;
  const stringsAt = structureAt + structure.length;
  const header = numbers(
    ...[MAGIC, stringsAt + stringBytes, structureAt, stringsAt, HEADER_BYTES],
    ...[VERSION, LAST_COMPATIBLE_VERSION, bootProcessor, stringBytes, structure.length],
  );
  return Buffer.concat([header, reserved, structure, ...strings]);
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}
