/**
 * OpenPGP packets for tests: frames as RFC 9580 §4.2 allows them around a version and meaningless octets; and what the
 * product says of a sequence of them. Used by the tests of the judgement and the fuzzer.
 */
import { createPacketSequence } from "../../../services/milter/openpgp.ts";

export type Frame =
  | "one octet"
  | "two octets"
  | "five octets"
  | "partial"
  | "legacy 1"
  | "legacy 2"
  | "legacy 4"
  | "legacy endless";

/** `content` stands for the whole body, else the body begins with a version of its type. */
export type TestPacket = Readonly<{ type: number; length: number; frame: Frame; content?: Uint8Array }>;

/** First octet of a body: PKESK v3, SKESK v4, SEIPD v1. */
const versions: Readonly<Record<number, number>> = { 1: 3, 3: 4, 18: 1 };

/** A packet in the shortest new-format frame that fits. */
export function packet(type: number, length: number): TestPacket {
  return { type, length, frame: length < 192 ? "one octet" : length < 8384 ? "two octets" : "five octets" };
}

export function packetBytes(packets: readonly TestPacket[]): Buffer {
  return Buffer.concat(packets.map(onePacket));
}

/** Whether the bytes, given in pieces that end at `cuts`, are an encrypted message. */
export function isMessage(bytes: Buffer, cuts: readonly number[] = []): boolean {
  const sequence = createPacketSequence();
  let start = 0;
  for (const end of [...cuts, bytes.length]) {
    if (sequence.push(bytes.subarray(start, end)) !== null) return false;
    start = end;
  }
  return sequence.end() === null;
}

function onePacket({ type, length, frame, content: given }: TestPacket): Buffer {
  const content = given === undefined ? Buffer.alloc(length, 0xaa) : Buffer.from(given);
  if (given === undefined && length > 0) content[0] = versions[type] ?? 0xaa;
  const modern = 0xc0 | type;
  const legacy = 0x80 | (type << 2);
  switch (frame) {
    case "one octet":
      return Buffer.concat([Buffer.from([modern, length]), content]);
    case "two octets":
      return Buffer.concat([
        Buffer.from([modern, 192 + ((length - 192) >> 8), (length - 192) & 255]),
        content,
      ]);
    case "five octets":
      return Buffer.concat([Buffer.from([modern, 255]), uint32(length), content]);
    case "partial":
      // 512 octets, as often as they fit, then the rest.
      return Buffer.concat([
        Buffer.from([modern]),
        ...Array.from({ length: Math.floor(length / 512) }, (_, part) =>
          Buffer.concat([Buffer.from([224 + 9]), content.subarray(part * 512, (part + 1) * 512)]),
        ),
        Buffer.concat([Buffer.from([255]), uint32(length % 512), content.subarray(length - (length % 512))]),
      ]);
    case "legacy 1":
      return Buffer.concat([Buffer.from([legacy, length]), content]);
    case "legacy 2":
      return Buffer.concat([Buffer.from([legacy | 1, length >> 8, length & 255]), content]);
    case "legacy 4":
      return Buffer.concat([Buffer.from([legacy | 2]), uint32(length), content]);
    case "legacy endless":
      return Buffer.concat([Buffer.from([legacy | 3]), content]);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
