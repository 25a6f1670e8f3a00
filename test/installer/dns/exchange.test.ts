/** Questions to servers that lie, cut off and fall silent (installer/dns/exchange.ts, https-exchange.ts). */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { dnsTypes } from "../../../appliance/dns/wire.ts";
import { briefFetch } from "../../../installer/dns/brief-fetch.ts";
import { askServer, NoAnswerError } from "../../../installer/dns/exchange.ts";
import { askByHttps } from "../../../installer/dns/https-exchange.ts";
import { questionBytes, readAnswer } from "../../../installer/dns/message.ts";

const question = { name: "a.test", type: dnsTypes.A };
const truncatedFlags = 0x8780;

/** The answer "no such name" to a question, with another number or flags. */
function answerTo(bytes: Buffer, { id = bytes.readUInt16BE(0), flags = 0x8583 } = {}): Buffer {
  const answer = Buffer.from(bytes);
  answer.writeUInt16BE(id, 0);
  answer.writeUInt16BE(flags, 2);
  return answer;
}

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** A server whose datagrams and connections are answered by these; gives its place. */
async function startServer(
  datagrams: (bytes: Buffer) => readonly Buffer[],
  connections: (bytes: Buffer, socket: Socket) => void = (_, socket) => socket.destroy(),
) {
  const tcp = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => connections(bytes.subarray(2), socket));
  });
  tcp.listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as { port: number };
  const udp = createSocket("udp4");
  udp.on("message", (bytes, { address, port: from }) => {
    for (const answer of datagrams(bytes)) udp.send(answer, from, address);
  });
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");
  stops.push(
    () => udp.close(),
    () => tcp.close(),
  );
  return { address: "127.0.0.1", port };
}

function framed(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

describe("a question to a name server", () => {
  it("passes over what is no answer to it, and takes what is", async () => {
    const place = await startServer((bytes) => {
      const other = Buffer.from(bytes);
      other.write("b", 13);
      return [
        Buffer.from("nonsense"),
        answerTo(bytes, { id: bytes.readUInt16BE(0) ^ 1 }),
        bytes, // the question itself
        answerTo(other),
        answerTo(bytes),
      ];
    });
    expect(await askServer(place, question)).toMatchObject({ outcome: 3, authoritative: true });
  });

  it("takes the whole answer by TCP when the datagram was cut", async () => {
    const place = await startServer(
      (bytes) => [answerTo(bytes, { flags: truncatedFlags })],
      (bytes, socket) => {
        const whole = framed(answerTo(bytes));
        socket.write(whole.subarray(0, 1));
        socket.write(whole.subarray(1, 20));
        setImmediate(() => socket.write(whole.subarray(20)));
      },
    );
    expect(await askServer(place, question)).toMatchObject({ outcome: 3, truncated: false });
  });

  it("asks without EDNS a server that does not know it", async () => {
    const place = await startServer((bytes) => [
      bytes.readUInt16BE(10) === 0 ? answerTo(bytes) : answerTo(bytes, { flags: 0x8001 }),
    ]);
    expect((await askServer(place, question)).outcome).toBe(3);
  });

  it.each<[what: string, connections: (bytes: Buffer, socket: Socket) => void, words: RegExp]>([
    ["ends the connection", (_, socket) => socket.end(), /without an answer/],
    ["says something else", (_, socket) => socket.write(framed(Buffer.alloc(40))), /does not speak DNS/],
    [
      "answers something else",
      (bytes, socket) => socket.write(framed(answerTo(bytes, { id: 0 }))),
      /no answer to/,
    ],
  ])("gives up on one that %s", async (_what, connections, words) => {
    const place = await startServer((bytes) => [answerTo(bytes, { flags: truncatedFlags })], connections);
    const asking = askServer(place, question);
    await expect(asking).rejects.toThrow(NoAnswerError);
    await expect(asking).rejects.toThrow(words);
  });

  it("says so at once when there is no way to the address", async () => {
    // No socket may be connected to everybody's address (SO_BROADCAST, socket(7)).
    const asking = askServer({ address: "255.255.255.255", port: 53 }, question);
    await expect(asking).rejects.toThrow(/^255\.255\.255\.255 cannot be reached: .*EACCES/);
    await expect(asking).rejects.toThrow(NoAnswerError);
  });

  it("stops at once when it is told to", async () => {
    const place = await startServer(() => []);
    const stop = new AbortController();
    const asking = askServer(place, question, {}, stop.signal);
    stop.abort(new Error("enough"));
    await expect(asking).rejects.toThrow("enough");
  });

  it("reads any octets as an answer or refuses them", () => {
    const real = answerTo(questionBytes(7, question, { signatures: true }));
    const spoiled = fc
      .tuple(fc.nat(real.length - 1), fc.nat(255))
      .map(([at, value]) => Buffer.from(real.map((octet, index) => (index === at ? value : octet))));
    fc.assert(
      fc.property(fc.oneof(spoiled, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        try {
          expect(readAnswer(Buffer.from(bytes), 7, question).message.id).toBe(7);
        } catch (error) {
          expect(error).toMatchObject({ name: "DnsFormatError" });
        }
      }),
    );
  });
});

describe("a question by HTTPS", () => {
  const answering =
    (response: () => Response): typeof fetch =>
    async () =>
      response();
  const type = { "content-type": "application/dns-message" };
  const ask = (response: () => Response) =>
    askByHttps("https://resolver.test/dns-query", question, {}, undefined, answering(response));

  it("takes an answer", async () => {
    const body = new Uint8Array(answerTo(questionBytes(0, question, {})));
    expect((await ask(() => new Response(body, { headers: type }))).outcome).toBe(3);
  });

  it.each<[what: string, response: () => Response, words: RegExp]>([
    [
      "a page of a network that wants a login",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      /type text\/html/,
    ],
    ["an error", () => new Response("", { status: 502, headers: type }), /status 502/],
    ["nonsense", () => new Response("nonsense", { headers: type }), /shorter than a header/],
    ["too much", () => new Response(new Uint8Array(70_000), { headers: type }), /without end/],
    [
      "no connection",
      () => {
        throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
      },
      /ECONNREFUSED/,
    ],
  ])("gives up on %s", async (_what, response, words) => {
    await expect(ask(response)).rejects.toThrow(words);
    await expect(ask(response)).rejects.toThrow(NoAnswerError);
  });

  it.each([403, 204, 304, 503])("tells status %i of a real server", async (status) => {
    const server = createHttp((_, response) => void response.writeHead(status, type).end());
    stops.push(() => server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const asked = askByHttps(url, question, {}, undefined, briefFetch);
    await expect(asked).rejects.toThrow(`answers with status ${status}`);
  });
});
