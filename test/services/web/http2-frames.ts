/**
 * HTTP/2 by hand (RFC 9113 §4.1, RFC 7541), for clients that no library would be.
 *
 *   offset 0  length of the payload, 24 bits   3  type   4  flags   5  stream, 31 bits   9  payload
 */

export const frameTypes = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const flags = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export function frame(type: number, flag: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 9113 §6.5.1: pairs of identifier and value. */
export function settings(...pairs: (readonly [number, number])[]): Buffer {
  const payload = Buffer.concat(
    pairs.map(([id, value]) => {
      const bytes = Buffer.alloc(6);
      bytes.writeUInt16BE(id, 0);
      bytes.writeUInt32BE(value, 2);
      return bytes;
    }),
  );
  return frame(frameTypes.settings, flags.none, 0, payload);
}

/** RFC 7541 §5.1 with a prefix of 7 bits, and §5.2 without Huffman. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Fields without the table (RFC 7541 §6.2.2), or put into it (§6.2.1) when `indexed`. */
export function fields(pairs: readonly (readonly [string, string])[], indexed = false): Buffer {
  return Buffer.concat(
    pairs.flatMap(([name, value]) => [Buffer.from([indexed ? 0x40 : 0x00]), text(name), text(value)]),
  );
}

/** A GET request's fields. */
export function requestFields(path: string): Buffer {
  return fields([
    [":method", "GET"],
    [":scheme", "https"],
    [":authority", "_a.test"],
    [":path", path],
  ]);
}

/** What came, as type and stream of each whole frame, in order. */
export function readFrames(bytes: Buffer): { type: number; stream: number; payload: Buffer }[] {
  const found: { type: number; stream: number; payload: Buffer }[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    const payload = bytes.subarray(at + 9, at + 9 + length);
    found.push({ type: bytes[at + 3]!, stream: bytes.readUInt32BE(at + 5) & 0x7fffffff, payload });
    at += 9 + length;
  }
  return found;
}
