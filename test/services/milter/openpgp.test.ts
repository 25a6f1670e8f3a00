import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createPacketSequence } from "../../../services/milter/openpgp.ts";
import { type Frame, packet, packetBytes, type TestPacket } from "./packets.ts";

function isMessage(bytes: Buffer, cuts: readonly number[] = []): boolean {
  const sequence = createPacketSequence();
  let start = 0;
  for (const end of [...cuts, bytes.length]) {
    if (sequence.push(bytes.subarray(start, end)) !== null) return false;
    start = end;
  }
  return sequence.end() === null;
}

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
    ({ type, frame }, index) =>
      (index === packets.length - 1 ? type === 18 : type === 1 || type === 3) &&
      (frame !== "partial" || type === 18),
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
      anyPacket.filter(({ type, frame }) => (type === 1 || type === 3) && frame !== "partial"),
      { maxLength: 2 },
    );
    const data = anyPacket.filter(({ type }) => type === 18);
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

  it("takes no first partial length below 512", () => {
    expect(
      isMessage(Buffer.concat([Buffer.from([0xd2, 224 + 8]), Buffer.alloc(256), Buffer.from([0])])),
    ).toBe(false);
    expect(
      isMessage(Buffer.concat([Buffer.from([0xd2, 224 + 9]), Buffer.alloc(512), Buffer.from([0])])),
    ).toBe(true);
  });
});
