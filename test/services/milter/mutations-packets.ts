/** Changes of the OpenPGP packets inside the armor of a message. Used by mutations.ts. */
import { type Mutation, one } from "./mutation.ts";

/** The armored bytes replaced by what `change` makes of them; the message as it is when it holds no armor. */
function withBytes(message: string, change: (bytes: Buffer) => Buffer): string {
  const found =
    /(-----BEGIN PGP MESSAGE-----\r\n\r\n)([A-Za-z0-9+/=\r\n]+?)((?:=[A-Za-z0-9+/]{4}\r\n)?-----END)/.exec(
      message,
    );
  if (found === null) return message;
  const [whole, head, base64, tail] = found as unknown as [string, string, string, string];
  const lines =
    change(Buffer.from(base64, "base64"))
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return message.replace(whole, () => `${head}${lines.join("\r\n")}\r\n${tail}`);
}

/** Where packets begin, as long as the bytes are plain. */
function packetStarts(bytes: Buffer): number[] {
  const starts: number[] = [];
  for (let at = 0; at + 6 < bytes.length && bytes[at]! >= 0xc0; ) {
    starts.push(at);
    const octet = bytes[at + 1]!;
    if (octet < 192) at += 2 + octet;
    else if (octet < 224) at += 3 + (octet - 192) * 256 + bytes[at + 2]! + 192;
    else if (octet === 255) at += 6 + bytes.readUInt32BE(at + 2);
    else break;
  }
  return starts;
}

function splice(bytes: Buffer, at: number, removed: number, ...inserted: Uint8Array[]): Buffer {
  return Buffer.concat([bytes.subarray(0, at), ...inserted, bytes.subarray(at + removed)]);
}

/** Packets that have no business in an encrypted message, and frames that hide something. */
const strangePackets = [
  ...[8, 9, 11, 2, 4, 5, 6, 10, 12, 13, 17, 19, 20, 21, 0, 39, 40, 63].map((type) => [
    0xc0 | type,
    3,
    0x50,
    0x47,
    0x50,
  ]),
  [0xa3, 1, 2, 3],
  [0xac, 5, 0x62, 0, 0, 0, 0],
  [0xcb, 11, 0x74, 0, 0, 0, 0, 0, 0x68, 0x65, 0x6c, 0x6c, 0x6f],
  [0xc1, 13, 2, ...Array(12).fill(0x20)],
  [0xc1, 13, 6, ...Array(12).fill(0x20)],
  [0xc1, 12, 3, ...Array(11).fill(0x20)],
  [0xc1, 11, 3, ...Array(10).fill(0x20)],
  [0xc3, 4, 4, 9, 0, 8],
  [0xc3, 4, 5, 9, 0, 8],
  [0xc3, 4, 6, 9, 0, 8],
  [0xc3, 3, 4, 9, 0],
  [0x84, 12, 3, ...Array(11).fill(7)],
  [0x85, 0, 12, 3, ...Array(11).fill(7)],
  [0x86, 0, 0, 0, 12, 3, ...Array(11).fill(7)],
  [0x87, 3, ...Array(11).fill(7)],
  [0xc1, 0xff, 0, 0, 0, 12, 3, ...Array(11).fill(7)],
  [0xc1, 0xff, 0xff, 0xff, 0xff, 0xff, 3],
  [0xc1, 0xe9, 3, ...Array(511).fill(7)],
  [0xc1, 0xcf, 0x40, 3, ...Array(4095).fill(7)],
  [0xc1, 0xcf, 0x41, 3, ...Array(4096).fill(7)],
  [0xd2, 35, 1, ...Array(34).fill(7)],
  [0xd2, 34, 1, ...Array(33).fill(7)],
  [0xd2, 70, 2, 9, 2, 6, ...Array(66).fill(7)],
  [0xd2, 69, 2, 9, 2, 6, ...Array(65).fill(7)],
  [0xd2, 0xe9, 1, ...Array(511).fill(7), 0],
  [0xd2, 0xe8, 1, ...Array(255).fill(7), 0],
  [0xd2, 0xe9, 2, 9, 2, 6, ...Array(508).fill(7), 0xe0, 1, 0xff, 0, 0, 0, 0],
  [0xc1],
  [0xd2, 0xe9],
  [0xc0],
  [0x80],
  [0],
].map((octets) => Uint8Array.from(octets));
export const packetMutations: readonly Mutation[] = [
  [
    "a packet before",
    (message, pick) => withBytes(message, (bytes) => splice(bytes, 0, 0, one(pick, strangePackets))),
  ],
  [
    "a packet between",
    (message, pick) =>
      withBytes(message, (bytes) =>
        splice(bytes, one(pick, [0, ...packetStarts(bytes)]), 0, one(pick, strangePackets)),
      ),
  ],
  [
    "a packet after",
    (message, pick) =>
      withBytes(message, (bytes) => splice(bytes, bytes.length, 0, one(pick, strangePackets))),
  ],
  [
    "another message altogether",
    (message, pick) =>
      withBytes(message, () =>
        Buffer.concat(Array.from({ length: 1 + pick(3) }, () => one(pick, strangePackets))),
      ),
  ],
  [
    "no last packet",
    (message) => withBytes(message, (bytes) => bytes.subarray(0, packetStarts(bytes).at(-1))),
  ],
  [
    "no first packet",
    (message) => withBytes(message, (bytes) => bytes.subarray(packetStarts(bytes)[1] ?? 0)),
  ],
  ["bytes missing", (message, pick) => withBytes(message, (bytes) => bytes.subarray(0, pick(bytes.length)))],
  [
    "another octet of a packet's beginning",
    (message, pick) =>
      withBytes(message, (bytes) => {
        const at = Math.min(one(pick, [0, ...packetStarts(bytes)]) + pick(8), bytes.length - 1);
        return splice(
          bytes,
          at,
          1,
          Uint8Array.of(one(pick, [pick(256), 0, 1, 2, 3, 4, 6, 192, 224, 233, 254, 255])),
        );
      }),
  ],
  [
    "an octet more or less",
    (message, pick) =>
      withBytes(message, (bytes) =>
        splice(bytes, pick(bytes.length), pick(2), Buffer.alloc(pick(2), pick(256))),
      ),
  ],
];
