/**
 * Zone transfers in a chain of messages of which only some are signed (appliance/dns/tsig-exchange.ts, RFC 8945 §5.3.1).
 * Servers of today sign each; the signatures here are made by the text of the RFC.
 */
import { createHmac } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { transferZone } from "../../../appliance/dns/tsig-exchange.ts";

const secret = Buffer.alloc(32, "s");
const key = { name: "relay", algorithm: "hmac-sha256", secret } as const;
const zone = "c.test";
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const name = (text: string) =>
  Buffer.concat([
    ...text.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);
const uint16 = (value: number) => Buffer.of(value >> 8, value & 0xff);
const uint48 = (value: number) =>
  Buffer.concat([
    uint16(Math.floor(value / 2 ** 32)),
    Buffer.from((value % 2 ** 32).toString(16).padStart(8, "0"), "hex"),
  ]);
const record = (owner: string, type: number, data: Buffer) =>
  Buffer.concat([name(owner), uint16(type), uint16(1), Buffer.of(0, 0, 0, 60), uint16(data.length), data]);
const soa = record(zone, 6, Buffer.concat([name(`ns.${zone}`), name(`nobody.${zone}`), Buffer.alloc(20, 1)]));
const host = (index: number) => record(`h${index}.${zone}`, 1, Buffer.of(192, 0, 2, index));

/** A message of the answer, and its signature when it gets one. */
function message(
  id: Buffer,
  records: Buffer[],
  prior: Buffer,
  between: Buffer[] | undefined,
  isFirst: boolean,
) {
  const plain = Buffer.concat([
    id,
    Buffer.of(0x84, 0, 0, 0),
    uint16(records.length),
    Buffer.alloc(4),
    ...records,
  ]);
  if (between === undefined) return { bytes: plain, mac: prior };
  const [now, fudge] = [uint48(Math.floor(Date.now() / 1000)), uint16(300)];
  // The first one covers all variables, the later ones only the timers.
  const variables = isFirst
    ? [name(key.name), uint16(255), Buffer.alloc(4), name(key.algorithm), now, fudge, Buffer.alloc(4)]
    : [now, fudge];
  const hmac = createHmac("sha256", secret);
  for (const part of [uint16(prior.length), prior, ...between, plain, ...variables]) hmac.update(part);
  const mac = hmac.digest();
  const data = Buffer.concat([name(key.algorithm), now, fudge, uint16(mac.length), mac, id, Buffer.alloc(4)]);
  const tsig = Buffer.concat([
    name(key.name),
    uint16(250),
    uint16(255),
    Buffer.alloc(4),
    uint16(data.length),
    data,
  ]);
  const bytes = Buffer.concat([plain, tsig]);
  bytes.writeUInt16BE(1, 10);
  return { bytes, mac };
}

/** A server that answers in messages with one host each; `signed`: which of them it signs. */
async function start(
  signed: readonly boolean[],
  spoil: (messages: Buffer[]) => void = () => {},
): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (request) => {
      const id = request.subarray(2, 4);
      // Behind the name of the key and ten octets stands the algorithm, then time, fudge, and the signature.
      const at = request.lastIndexOf(name(key.algorithm)) + name(key.algorithm).length + 8;
      let prior: Buffer = request.subarray(at + 2, at + 2 + request.readUInt16BE(at));
      let between: Buffer[] = [];
      const messages = signed.map((isSigned, index) => {
        const records = [
          ...(index === 0 ? [soa] : []),
          host(index),
          ...(index === signed.length - 1 ? [soa] : []),
        ];
        const { bytes, mac } = message(id, records, prior, isSigned ? between : undefined, index === 0);
        if (isSigned) [prior, between] = [mac, []];
        else between.push(bytes);
        return bytes;
      });
      spoil(messages);
      for (const bytes of messages) socket.write(Buffer.concat([uint16(bytes.length), bytes]));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
const transfer = (port: number) => transferZone({ server: { host: "127.0.0.1", port }, zone, key });

/** One bit; `at` counts from the end when it is negative. */
function flip(bytes: Buffer, at: number) {
  const place = at < 0 ? bytes.length + at : at;
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
}

describe("the transfer of a zone", () => {
  it.each([
    ["all", [true, true, true]],
    ["every third", [true, false, false, true, false, false, true]],
    ["the one and only", [true]],
  ])("is believed when %s of its messages are signed", async (_what, signed) => {
    const records = await transfer(await start(signed));
    expect(records.map(({ record: { name: owner } }) => owner)).toEqual([
      zone,
      ...signed.map((_one, index) => `h${index}.${zone}`),
      zone,
    ]);
  });

  it.each<[what: string, signed: boolean[], spoil: (messages: Buffer[]) => void]>([
    ["the last message is not signed", [true, true, false], () => {}],
    ["the first message is not signed", [false, true, true], () => {}],
    [
      "more go by without a signature than may",
      [true, ...Array.from({ length: 100 }, () => false), true],
      () => {},
    ],
    ["an unsigned one was changed", [true, false, true], (messages) => flip(messages[1]!, -1)],
    ["a signed one was changed", [true, true, true], (messages) => flip(messages[1]!, 40)],
    ["one is missing", [true, false, true], (messages) => void messages.splice(1, 1)],
    [
      "two changed places",
      [true, true, true, true],
      (messages) => void messages.splice(1, 2, messages[2]!, messages[1]!),
    ],
  ])("is not believed when %s", async (_what, signed, spoil) => {
    await expect(transfer(await start(signed, spoil))).rejects.toMatchObject({
      name: "DnsProviderError",
      message: expect.stringMatching(/somebody else may answer|does not speak DNS/),
    });
  });
});
