/** DNS messages as octets (appliance/dns/wire.ts): what is written is read again, and nothing else breaks it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DnsFormatError,
  dataBytes,
  dnsClasses,
  dnsTypes,
  messageBytes,
  nameBytes,
  parseMessage,
  readData,
  recordBytes,
} from "../../../appliance/dns/wire.ts";

const question = { name: "c.test", type: dnsTypes.SOA, class: dnsClasses.IN };

describe("a DNS message", () => {
  const data = { type: "MX", preference: 5, exchange: "mail.c.test" } as const;
  const record = recordBytes({
    ...{ name: "x.c.test", type: dnsTypes.MX, class: dnsClasses.IN, ttl: 60 },
    data: dataBytes(data),
  });
  const message = messageBytes(7, 5 << 11, [question], { updates: [record] });

  it("is read as it was written", () => {
    const { id, flags, questions, sections } = parseMessage(message);
    expect({ id, flags, questions }).toEqual({ id: 7, flags: 5 << 11, questions: [question] });
    expect(sections.map((one) => one.length)).toEqual([0, 1, 0]);
    expect(readData(message, sections[1][0]!)).toEqual(data);
  });

  it("is refused when it is cut off anywhere, or goes on", () => {
    for (let length = 0; length < message.length; length++)
      expect(() => parseMessage(message.subarray(0, length)), `${length}`).toThrow(DnsFormatError);
    expect(() => parseMessage(Buffer.concat([message, Buffer.of(0)]))).toThrow(DnsFormatError);
  });

  it("follows names back, and never in circles", () => {
    // The question's name at 12; a second question that points to it, to itself, and forward.
    const pointed = (target: number) =>
      Buffer.concat([
        messageBytes(1, 0, [question, question]).subarray(0, 12 + 8 + 4),
        Buffer.of(0xc0 | (target >> 8), target & 0xff, 0, 1, 0, 1),
      ]);
    expect(parseMessage(pointed(12)).questions[1]?.name).toBe("c.test");
    expect(parseMessage(pointed(14)).questions[1]?.name).toBe("test");
    for (const target of [24, 26, 200]) expect(() => parseMessage(pointed(target))).toThrow(DnsFormatError);
  });

  it("of any octets is read or refused by name, soon", () => {
    const mutated = fc.tuple(fc.nat(message.length - 1), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(message);
      bytes[at] = byte;
      return bytes;
    });
    const any = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, any), (bytes) => {
        try {
          const { sections } = parseMessage(bytes);
          for (const one of sections.flat()) readData(bytes, one);
        } catch (error) {
          if (!(error instanceof DnsFormatError)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });

  it.each(["a..b", ".", "x".repeat(64), `${"x".repeat(60)}.`.repeat(5).slice(0, -1)])(
    "has no name %s",
    (name) => {
      expect(() => nameBytes(name)).toThrow(DnsFormatError);
    },
  );
});
