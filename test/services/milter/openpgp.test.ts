import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPacketSequence } from "../../../services/milter/openpgp.ts";
import { type Frame, isMessage, packet, packetBytes, type TestPacket } from "./packets.ts";

/** Any packet in any frame that its length fits into. */
const anyPacket = fc
  .record({
    type: fc.constantFrom(1, 3, 18, 18, 1, 9, 11, 2, 20),
    length: fc.oneof(
      fc.nat(300),
      fc.nat(20_000),
      fc.constantFrom(0, 191, 192, 255, 256, 511, 512, 8383, 8384),
    ),
    frame: fc.constantFrom<Frame>(
      ...(["one octet", "two octets", "five octets", "partial", "legacy 1", "legacy 2", "legacy 4"] as const),
    ),
  })
  .filter(({ type, length, frame }) => {
    if (frame === "one octet") return length < 192;
    if (frame === "two octets") return length >= 192 && length < 8384;
    // Legacy headers have four bits for the type, partial lengths are only for those that stream.
    if (frame === "partial") return length >= 512;
    if (frame.startsWith("legacy")) return type < 16 && (frame !== "legacy 1" || length < 256);
    return true;
  });

function isValid(packets: readonly TestPacket[]): boolean {
  return packets.every(
    ({ type, length, frame }, index) =>
      (index === packets.length - 1 ? type === 18 : type === 1 || type === 3) &&
      (frame !== "partial" || type === 18) &&
      (type === 18 ? length >= 35 : length >= (type === 1 ? 12 : 4) && length <= 4096),
  );
}

describe("a sequence of OpenPGP packets", () => {
  it("is an encrypted message exactly when session keys precede one encrypted packet, in any frame and any pieces", () => {
    const packets = fc.array(anyPacket, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(packets, fc.array(fc.nat(30_000), { maxLength: 5 }), (list, cuts) => {
        const bytes = packetBytes(list);
        const places = cuts.filter((cut) => cut <= bytes.length).sort((a, b) => a - b);
        expect(isMessage(bytes, places)).toBe(isValid(list));
      }),
      { numRuns: 2000 },
    );
  });

  it("is none when bytes are missing or left over", () => {
    const keys = fc.array(
      anyPacket.filter((one) => one.type !== 18 && isValid([one, packet(18, 35)])),
      { maxLength: 2 },
    );
    const data = anyPacket.filter((one) => isValid([one]));
    fc.assert(
      fc.property(
        keys,
        data,
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 5 }),
        (list, last, cut, extra) => {
          const bytes = packetBytes([...list, last]);
          expect(isMessage(bytes)).toBe(true);
          expect(isMessage(bytes.subarray(0, cut % bytes.length))).toBe(false);
          expect(isMessage(Buffer.concat([bytes, extra]))).toBe(false);
        },
      ),
    );
  });

  it.each<[string, TestPacket[], boolean]>([
    ["encrypted data alone", [packet(18, 100)], true],
    ["no encrypted data", [packet(1, 100)], false],
    ["nothing", [], false],
    ["a literal packet", [packet(11, 100)], false],
    ["encrypted data without integrity protection", [packet(9, 100)], false],
    ["two encrypted packets", [packet(18, 100), packet(18, 100)], false],
    ["a session key behind the data", [packet(18, 100), packet(1, 100)], false],
    [
      "a session key in the legacy format",
      [{ type: 1, length: 300, frame: "legacy 2" }, packet(18, 100)],
      true,
    ],
    ["a packet of indeterminate length", [{ type: 1, length: 300, frame: "legacy endless" }], false],
  ])("decides about %s", (_name, packets, expected) => {
    expect(isMessage(packetBytes(packets))).toBe(expected);
  });

  it("takes no packet of indeterminate length, whatever follows its tag", () => {
    const eightOctets = Buffer.from([0x87, 0, 0, 0, 0, 0, 0, 0, 12]);
    const rest = [Buffer.alloc(12, 3), packetBytes([packet(18, 40)])];
    expect(isMessage(Buffer.concat([eightOctets, ...rest]))).toBe(false);
    expect(isMessage(Buffer.concat([Buffer.from([0x84, 12]), ...rest]))).toBe(true);
  });

  it("takes no first partial length below 512", () => {
    const body = (length: number) => Buffer.alloc(length, 1);
    expect(isMessage(Buffer.concat([Buffer.from([0xd2, 224 + 8]), body(256), Buffer.from([0])]))).toBe(false);
    expect(isMessage(Buffer.concat([Buffer.from([0xd2, 224 + 9]), body(512), Buffer.from([0])]))).toBe(true);
  });

  it.each<[string, number, number[], number, boolean]>([
    ["a PKESK of version 3", 1, [3], 12, true],
    ["a PKESK of version 6", 1, [6], 12, true],
    ["a PKESK of version 2", 1, [2], 12, false],
    ["a PKESK of version 4", 1, [4], 12, false],
    ["a PKESK that is text", 1, [...Buffer.from("hello")], 12, false],
    ["a SKESK of version 4", 3, [4], 4, true],
    ["a SKESK of version 5", 3, [5], 40, false],
    ["a SKESK of version 6", 3, [6], 40, true],
    ["encrypted data of version 0", 18, [0], 100, false],
    ["encrypted data of version 1", 18, [1], 35, true],
    ["encrypted data of version 2", 18, [2, 9, 2, 6], 70, true],
    ["encrypted data of version 2, too short", 18, [2, 9, 2, 6], 69, false],
    ["encrypted data of version 2 with a cipher of 64-bit blocks", 18, [2, 3, 2, 6], 100, false],
    ["encrypted data of version 2 in an unknown mode", 18, [2, 9, 4, 6], 100, false],
    ["encrypted data of version 2 in endless chunks", 18, [2, 9, 2, 17], 100, false],
    ["encrypted data of version 3", 18, [3], 100, false],
  ])("looks at the version: %s", (_name, type, head, length, expected) => {
    const content = Buffer.concat([Buffer.from(head), Buffer.alloc(length, 7)]).subarray(0, length);
    const one = { ...packet(type, length), content };
    const bytes = packetBytes(type === 18 ? [one] : [one, packet(18, 40)]);
    expect(isMessage(bytes)).toBe(expected);
    expect(isMessage(bytes, [...bytes.keys()])).toBe(expected);
  });

  it("takes no session key that is larger than any could be, and says so by its length alone", () => {
    expect(isMessage(packetBytes([packet(1, 4096), packet(18, 40)]))).toBe(true);
    expect(createPacketSequence().push(packetBytes([packet(1, 4097)]).subarray(0, 3))).toMatch("too large");
  });
});
