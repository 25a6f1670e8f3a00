import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { negotiate } from "../../../services/milter/negotiation.ts";
import {
  createPacketReader,
  MAX_BODY_BYTES,
  MAX_HELD_BYTES,
} from "../../../services/milter/packet-reader.ts";
import {
  decodeAddress,
  decodeConnect,
  decodeHeader,
  decodeMacros,
  encodePacket,
  encodeRefusal,
  MilterProtocolError,
} from "../../../services/milter/protocol.ts";
import { tooMuchMail } from "../../../services/milter/refusal.ts";
import { offerData } from "./milter-client.ts";

/** All packets in the pieces of a stream, the pieces of a body packet put together again. */
function packetsOf(pieces: readonly Buffer[]) {
  const reader = createPacketReader();
  const packets: { command: string; data: string }[] = [];
  let begun = "";
  for (const piece of pieces) {
    reader.push(piece);
    for (let packet = reader.next(); packet !== null; packet = reader.next()) {
      begun += packet.data.toString("latin1");
      if (!packet.isWhole) continue;
      packets.push({ command: packet.command, data: begun });
      begun = "";
    }
  }
  return { packets, isInside: reader.isInside() };
}

/** The first bytes of a packet that says it is `length` bytes long. */
function head(length: number, command: string): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(length);
  bytes.write(command, 4, "latin1");
  return bytes;
}

describe("milter packets", () => {
  it("come out the same however the stream is cut", () => {
    const packet = fc.record({
      command: fc.constantFrom("B", "L", "E", "\xff"),
      data: fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(200)), (packets, cuts) => {
        const stream = Buffer.concat(
          packets.map(({ command, data }) => encodePacket(command, Buffer.from(data, "latin1"))),
        );
        const places = [0, ...cuts.filter((cut) => cut < stream.length).sort((a, b) => a - b), stream.length];
        const pieces = places.slice(1).map((end, index) => stream.subarray(places[index], end));
        expect(packetsOf(pieces)).toEqual({ packets, isInside: false });
      }),
    );
  });

  it("of the body are passed on as they come, all others only when they are whole", () => {
    const reader = createPacketReader();
    reader.push(Buffer.concat([head(7, "B"), Buffer.from("ab")]));
    expect(reader.next()).toMatchObject({ data: Buffer.from("ab"), isWhole: false });
    expect(reader.next()).toBeNull();
    reader.push(Buffer.concat([Buffer.from("cdef"), head(3, "L"), Buffer.from("x")]));
    expect(reader.next()).toMatchObject({ data: Buffer.from("cdef"), isWhole: true });
    expect(reader.next()).toBeNull();
    expect(reader.isInside()).toBe(true);
    reader.push(Buffer.from("y"));
    expect(reader.next()).toMatchObject({ command: "L", data: Buffer.from("xy"), isWhole: true });
    expect(reader.isInside()).toBe(false);
  });

  it.each([
    ["of no length", head(0, "L")],
    ["of four gigabytes", head(0xffffffff, "B")],
    ["of the body beyond its limit", head(MAX_BODY_BYTES + 2, "B")],
    ["of anything else beyond its limit", head(MAX_HELD_BYTES + 2, "L")],
  ])("%s are an error", (_name, bytes) => {
    expect(() => packetsOf([bytes])).toThrow(MilterProtocolError);
  });

  it("at their limits are none", () => {
    expect(packetsOf([head(MAX_BODY_BYTES + 1, "B"), head(0, "")]).isInside).toBe(true);
    expect(packetsOf([head(MAX_HELD_BYTES + 1, "L")]).isInside).toBe(true);
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

  it("carry macros with and without braces, of which only those are kept that somebody reads", () => {
    const { command, macros } = decodeMacros(Buffer.from("Cj\0mx.test\0{daemon_name}\0mx\0i\x004Xyz\0odd\0"));
    expect(command).toBe("C");
    expect([...macros]).toEqual([
      ["daemon_name", "mx"],
      ["i", "4Xyz"],
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
        for (const decode of [negotiate, decodeConnect, decodeMacros, decodeAddress, decodeHeader]) {
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

describe("the negotiation", () => {
  const answered = (version: number, actions: number, steps: number) => {
    const { answer, agreed } = negotiate(offerData({ version, actions, steps }));
    const [theirs, wanted, unneeded] = [5, 9, 13].map((at) => answer.readUInt32BE(at).toString(16));
    return { answer: `${theirs} ${wanted} ${unneeded}`, agreed };
  };

  it("asks Postfix for what is needed and no more", () => {
    expect(answered(6, 0x1ff, 0x1fffff)).toEqual({
      answer: "6 51 109782",
      agreed: {
        replyTo: { connect: false, recipient: false, header: false },
        skip: true,
        headerLeadingSpace: true,
        may: { addHeaders: true, insertHeaders: true, changeHeaders: true, changeSender: true },
      },
    });
  });

  it("takes what a newer version offers by the rules of version 6", () => {
    expect(answered(7, 0xffffffff, 0xffffffff).answer).toBe("6 51 109782");
  });

  it("takes a peer of version 2, whatever else it sets", () => {
    expect(answered(2, 0x3f, 0x7f)).toEqual({
      answer: "2 11 2",
      agreed: {
        replyTo: { connect: true, recipient: true, header: true },
        skip: false,
        headerLeadingSpace: false,
        may: { addHeaders: true, insertHeaders: false, changeHeaders: true, changeSender: false },
      },
    });
    expect(answered(2, 0xffffffff, 0xffffffff).answer).toBe("2 11 2");
    expect(answered(3, 0x3f, 0xffffffff).answer).toBe("3 11 102");
    expect(answered(4, 0x3f, 0xffffffff).answer).toBe("4 11 302");
  });

  it("takes a peer that offers nothing", () => {
    expect(answered(6, 0, 0).agreed).toEqual({
      replyTo: { connect: true, recipient: true, header: true },
      skip: false,
      headerLeadingSpace: false,
      may: { addHeaders: false, insertHeaders: false, changeHeaders: false, changeSender: false },
    });
  });

  it("refuses older peers and broken offers", () => {
    expect(() => answered(1, 0x1ff, 0x1fffff)).toThrow("version 1");
    expect(() => negotiate(Buffer.alloc(11))).toThrow(MilterProtocolError);
  });
});
