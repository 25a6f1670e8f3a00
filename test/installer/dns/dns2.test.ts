/**
 * Our DNS messages against those of another implementation, dns2: what it writes is read as it was meant, what we ask is
 * understood by it, and its server answers our questions (appliance/dns/wire.ts, installer/dns/message.ts, exchange.ts).
 */
import { createServer, Packet } from "dns2";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { presentation } from "../../../appliance/dns/record-set.ts";
import type { RecordData } from "../../../appliance/dns/records.ts";
import { dnsTypes, parseMessage, readData } from "../../../appliance/dns/wire.ts";
import { askServer } from "../../../installer/dns/exchange.ts";
import { answersOf, diagnosticTypes, questionBytes, readAnswer } from "../../../installer/dns/message.ts";
import { freePort } from "../../support/free-port.ts";

const IN = 1;
/** An answer with authority; the other flags are 0. */
const answerHeader = { qr: 1, aa: 1 } as const;

const label = fc.stringMatching(/^[a-z0-9_](?:[a-z0-9_-]{0,20}[a-z0-9])?$/);
/** Few tops, so that names share their ends and dns2 points back to them (RFC 1035 §4.1.4). */
const name = fc
  .tuple(fc.array(label, { maxLength: 3 }), fc.constantFrom("test", "c.test", "mail.c.test"))
  .map(([labels, top]) => [...labels, top].join("."));
const uint16 = fc.nat(0xffff);
const text = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 255 });
const octets = (count: number) => fc.uint8Array({ minLength: count, maxLength: count });

type Written = Readonly<{ data: RecordData; fields: object }>;
const anyData: fc.Arbitrary<Written> = fc.oneof(
  octets(4).map((bytes): Written => {
    const data = { type: "A", address: bytes.join(".") } as const;
    return { data, fields: { address: data.address } };
  }),
  fc.array(uint16, { minLength: 8, maxLength: 8 }).map((groups): Written => {
    const address = groups.map((group) => group.toString(16)).join(":");
    return { data: { type: "AAAA", address }, fields: { address } };
  }),
  name.map((target): Written => ({ data: { type: "CNAME", target }, fields: { domain: target } })),
  fc.tuple(uint16, name).map(([preference, exchange]): Written => {
    return { data: { type: "MX", preference, exchange }, fields: { priority: preference, exchange } };
  }),
  fc.tuple(uint16, uint16, uint16, name).map(([priority, weight, port, target]): Written => {
    const fields = { priority, weight, port, target };
    return { data: { type: "SRV", ...fields }, fields };
  }),
  fc.array(text, { minLength: 1, maxLength: 4 }).map((strings): Written => {
    return { data: { type: "TXT", text: strings.join("") }, fields: { data: strings } };
  }),
  fc.tuple(fc.constantFrom(0, 128), fc.constantFrom("issue", "iodef"), text).map(([flags, tag, value]) => {
    return { data: { type: "CAA", flags, tag, value }, fields: { flags, tag, value } } as const;
  }),
);

/** A message that dns2 wrote, with a question and records of its name. */
function writtenByDns2(id: number, of: string, all: readonly Written[]): Buffer {
  const packet = new Packet();
  Object.assign(packet.header, { id, ...answerHeader });
  const type = dnsTypes[all[0]?.data.type ?? "A"];
  packet.questions.push({ name: of, type, class: IN } as never);
  for (const { data, fields } of all) {
    packet.answers.push({ name: of, type: dnsTypes[data.type], class: IN, ttl: 60, ...fields } as never);
  }
  return packet.toBuffer();
}

describe("messages", () => {
  it("that dns2 wrote are read as they were meant", () => {
    const pointers: number[] = [];
    fc.assert(
      fc.property(uint16, name, fc.array(anyData, { minLength: 1, maxLength: 8 }), (id, of, all) => {
        const bytes = writtenByDns2(id, of, all);
        const question = { name: of, type: dnsTypes[all[0]!.data.type] };
        const answer = readAnswer(bytes, id, question);
        const records = answer.message.sections[0];
        expect(records.map((record) => record.name)).toEqual(all.map(() => of));
        const read = records.map((record) => readData(bytes, record)!);
        expect(read.map(presentation)).toEqual(all.map(({ data }) => presentation(data)));
        expect(answer.authoritative).toBe(true);
        pointers.push(bytes.filter((octet) => octet === 0xc0).length);
      }),
      { numRuns: 100 },
    );
    // Without names that point back this would prove less.
    expect(Math.max(...pointers)).toBeGreaterThan(2);
  });

  it("of ours are understood by dns2, with the flags of DNSSEC and the size of datagrams", () => {
    const asked = fc.tuple(uint16, name, fc.boolean(), fc.boolean(), fc.boolean());
    fc.assert(
      fc.property(asked, ([id, of, recursion, unchecked, signatures]) => {
        const question = { name: of, type: diagnosticTypes.DNSKEY };
        const read = Packet.parse(questionBytes(id, question, { recursion, unchecked, signatures }));
        expect(read.errors).toEqual([]);
        expect(read.header).toMatchObject({
          id,
          qr: 0,
          opcode: 0,
          rd: Number(recursion),
          cd: Number(unchecked),
        });
        expect(read.questions).toMatchObject([{ ...question, class: IN }]);
        expect(read.additionals).toMatchObject([
          { type: diagnosticTypes.OPT, class: 1232, doFlag: signatures, version: 0 },
        ]);
      }),
    );
  });

  it("of dns2 are refused when they are cut off anywhere", () => {
    const bytes = writtenByDns2(7, "c.test", [
      {
        data: { type: "MX", preference: 1, exchange: "mail.c.test" },
        fields: { priority: 1, exchange: "mail.c.test" },
      },
    ]);
    expect(parseMessage(bytes).sections[0]).toHaveLength(1);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => parseMessage(bytes.subarray(0, length)), `${length}`).toThrow();
    }
  });
});

describe("a server of dns2", () => {
  it("is asked by a datagram, and by TCP for what does not fit into one", async () => {
    const texts = Array.from({ length: 12 }, (_, index) => `${index} ${"x".repeat(240)}`);
    const ways: string[] = [];
    const server = createServer({
      ...{ udp: true, tcp: true },
      handle: (request, send, client) => {
        const isDatagram = "port" in client && !("remotePort" in client);
        ways.push(isDatagram ? "udp" : "tcp");
        const response = Packet.createResponseFromRequest(request);
        Object.assign(response.header, { aa: 1, tc: isDatagram ? 1 : 0 });
        for (const data of isDatagram ? [] : texts) {
          response.answers.push({ name: "c.test", type: dnsTypes.TXT, class: IN, ttl: 60, data } as never);
        }
        send(response);
      },
    });
    const place = { address: "127.0.0.1", port: await freePort() };
    await server.listen({ udp: place, tcp: place });
    try {
      const question = { name: "c.test", type: dnsTypes.TXT };
      const answer = await askServer(place, question);
      const read = answersOf(answer, question).map((record) => readData(answer.bytes, record));
      expect(read).toEqual(texts.map((each) => ({ type: "TXT", text: each })));
      expect(ways).toEqual(["udp", "tcp"]);
    } finally {
      await server.close();
    }
  });
});
