import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeConnect,
  decodeMacros,
  encodePacket,
  encodeRefusal,
  MilterProtocolError,
  negotiate,
  readPackets,
} from "../../../services/milter/protocol.ts";
import { tooMuchMail } from "../../../services/milter/refusal.ts";

async function packetsOf(pieces: readonly Buffer[]) {
  const packets: { command: string; data: string }[] = [];
  for await (const { command, data } of readPackets(Readable.from(pieces))) {
    packets.push({ command, data: data.toString("latin1") });
  }
  return packets;
}

function offer(version: number, actions: number, steps: number): Buffer {
  const data = Buffer.alloc(12);
  data.writeUInt32BE(version, 0);
  data.writeUInt32BE(actions, 4);
  data.writeUInt32BE(steps, 8);
  return data;
}

describe("milter packets", () => {
  it("come out the same however the stream is cut", async () => {
    const packet = fc.record({
      command: fc.constantFrom("B", "L", "E", "\xff"),
      data: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(200)), async (packets, cuts) => {
        const stream = Buffer.concat(
          packets.map(({ command, data }) => encodePacket(command, Buffer.from(data, "latin1"))),
        );
        const places = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
        const pieces = places.slice(1).map((end, index) => stream.subarray(places[index], end));
        expect(await packetsOf(pieces.filter((piece) => piece.length > 0))).toEqual(packets);
      }),
    );
  });

  it.each([
    ["of no length", Buffer.from([0, 0, 0, 0])],
    ["of four gigabytes", Buffer.from([0xff, 0xff, 0xff, 0xff, 0x42])],
    ["cut off", Buffer.from([0, 0, 0, 9, 0x42])],
  ])("%s are an error", async (_name, bytes) => {
    await expect(packetsOf([bytes])).rejects.toThrow(MilterProtocolError);
  });

  it("are negotiated to what both sides know", () => {
    expect(negotiate(offer(6, 0x1ff, 0x1fffff))).toMatchObject({
      answer: encodePacket("O", offer(6, 0x51, 0x1803c2)),
      agreed: { replyToHeader: false, replyToBody: false, headerLeadingSpace: true },
    });
    expect(negotiate(offer(6, 0x1ff, 0)).agreed).toEqual({
      replyToHeader: true,
      replyToBody: true,
      headerLeadingSpace: false,
    });
    expect(() => negotiate(offer(2, 0x1ff, 0x1fffff))).toThrow("version 2");
    expect(() => negotiate(offer(6, 0x0f, 0x1fffff))).toThrow("change headers");
    expect(() => negotiate(Buffer.alloc(11))).toThrow(MilterProtocolError);
  });

  it("say where a client comes from", () => {
    expect(decodeConnect(Buffer.from("host\x004\x9c\x40192.0.2.1\0", "latin1"))).toEqual({
      address: "192.0.2.1",
    });
    expect(decodeConnect(Buffer.from("host\x006\x9c\x40IPv6:2001:db8::1\0", "latin1"))).toEqual({
      address: "2001:db8::1",
    });
    expect(decodeConnect(Buffer.from("localhost\0U", "latin1"))).toEqual({ address: null });
    expect(() => decodeConnect(Buffer.from("host"))).toThrow(MilterProtocolError);
  });

  it("carry macros with and without braces", () => {
    const { command, macros } = decodeMacros(Buffer.from("Cj\0mx.test\0{daemon_name}\0mx\0odd\0"));
    expect(command).toBe("C");
    expect([...macros]).toEqual([
      ["j", "mx.test"],
      ["daemon_name", "mx"],
    ]);
  });

  it("carry a reply with percent signs doubled", () => {
    expect(encodeRefusal(tooMuchMail("a%b@c.test")).toString("latin1", 5)).toBe(
      "450 4.7.1: Too much mail from a%%b@c.test\0",
    );
  });

  it("of any content make no decoder fail in another way", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        for (const decode of [negotiate, decodeConnect, decodeMacros]) {
          try {
            decode(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(MilterProtocolError);
          }
        }
      }),
    );
  });
});
