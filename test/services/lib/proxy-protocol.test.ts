import { once } from "node:events";
import { connect, createServer } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  maxProxyBodyBytes,
  parseProxyHeader,
  proxySignature,
  takeProxyHeader,
} from "../../../services/lib/proxy-protocol.ts";

/** Put together by the table of the specification. */
function header(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from([command, family, body.length >> 8, body.length & 255]);
  return Buffer.concat([proxySignature, head, body]);
}

function ports(source: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(source, 0);
  bytes.writeUInt16BE(443, 2);
  return bytes;
}

const address4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes));
/** With many zeros, for the sake of "::". */
const address6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => {
    const bytes = Buffer.alloc(16);
    for (const [i, group] of groups.entries()) bytes.writeUInt16BE(group, 2 * i);
    return bytes;
  });
const port = fc.integer({ min: 0, max: 65_535 });
const tlvs = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));

describe("parseProxyHeader", () => {
  it("reads any IPv4 client, whatever follows", () => {
    fc.assert(
      fc.property(address4, port, tlvs, tlvs, (address, source, extra, rest) => {
        const bytes = header(0x21, 0x11, Buffer.concat([address, address4Other, ports(source), extra]));
        expect(parseProxyHeader(Buffer.concat([bytes, rest]))).toEqual({
          kind: "complete",
          length: bytes.length,
          source: { address: address.join("."), port: source },
        });
      }),
    );
  });

  it("reads any IPv6 client and writes it as Node's own URL parser would (RFC 5952)", () => {
    fc.assert(
      fc.property(address6, port, (address, source) => {
        const bytes = header(0x21, 0x21, Buffer.concat([address, address, ports(source)]));
        const groups = [...Array(8).keys()].map((i) => address.readUInt16BE(2 * i).toString(16));
        const expected = new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
        const parsed = parseProxyHeader(bytes);
        expect(parsed.kind === "complete" && parsed.source).toEqual({ address: expected, port: source });
      }),
    );
  });

  it("writes a mapped IPv4 address as IPv4", () => {
    const mapped = Buffer.from("00000000000000000000ffffc0000207", "hex");
    const parsed = parseProxyHeader(header(0x21, 0x21, Buffer.concat([mapped, mapped, ports(5)])));
    expect(parsed).toMatchObject({ source: { address: "192.0.2.7", port: 5 } });
  });

  it("waits for every missing byte and never reads beyond the end", () => {
    fc.assert(
      fc.property(address4, tlvs, (address, extra) => {
        const bytes = header(0x21, 0x11, Buffer.concat([address, address, ports(1), extra]));
        for (let end = 0; end < bytes.length; end += 1) {
          expect(parseProxyHeader(bytes.subarray(0, end))).toEqual({ kind: "incomplete" });
        }
      }),
    );
  });

  it("knows no client for LOCAL, unix sockets and families it does not know", () => {
    for (const [command, family] of [
      [0x20, 0x11],
      [0x20, 0x00],
      [0x21, 0x00],
      [0x21, 0x31],
    ] as const) {
      const bytes = header(command, family, Buffer.alloc(216));
      expect(parseProxyHeader(bytes)).toEqual({ kind: "complete", length: bytes.length, source: null });
    }
  });

  it.each([
    ["a TLS hello", Buffer.from("160301020001000200", "hex")],
    ["version 1", Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n")],
    ["version 3", header(0x31, 0x11, Buffer.alloc(12))],
    ["an unknown command", header(0x22, 0x11, Buffer.alloc(12))],
    ["an IPv4 body that is too short", header(0x21, 0x11, Buffer.alloc(11))],
    ["an IPv6 body that is too short", header(0x21, 0x21, Buffer.alloc(35))],
    ["a body that is too long", header(0x21, 0x11, Buffer.alloc(maxProxyBodyBytes + 1))],
  ])("refuses %s", (_what, bytes) => {
    expect(parseProxyHeader(bytes)).toEqual({ kind: "malformed" });
  });

  it("refuses a wrong signature at its first wrong byte, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const given = Buffer.from(bytes);
        const prefix = proxySignature.subarray(0, given.length);
        const isPrefix = given.subarray(0, 12).equals(prefix.subarray(0, 12));
        if (!isPrefix) expect(parseProxyHeader(given)).toEqual({ kind: "malformed" });
        else parseProxyHeader(given);
      }),
    );
  });
});

const address4Other = Buffer.from([198, 51, 100, 1]);

describe("takeProxyHeader", () => {
  /** What the server's side makes of a connection. */
  async function served(write: (client: ReturnType<typeof connect>) => void, limitMs = 5_000) {
    const outcome = Promise.withResolvers<unknown>();
    const server = createServer((socket) => {
      socket.on("error", () => {});
      takeProxyHeader(socket, limitMs).then(
        (source) => socket.once("data", (rest) => outcome.resolve({ source, rest: rest.toString() })),
        (error: Error) => {
          socket.destroy();
          outcome.resolve(error.message);
        },
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect((server.address() as { port: number }).port, "127.0.0.1");
    client.on("error", () => {});
    write(client);
    const result = await outcome.promise;
    client.destroy();
    server.close();
    return result;
  }
  const whole = header(0x21, 0x11, Buffer.concat([Buffer.from([192, 0, 2, 7]), address4Other, ports(99)]));

  it("leaves to be read what came with the header", async () => {
    expect(await served((client) => client.write(Buffer.concat([whole, Buffer.from("hello")])))).toEqual({
      source: { address: "192.0.2.7", port: 99 },
      rest: "hello",
    });
  });

  it("puts a header together that comes byte by byte", async () => {
    const write = (client: ReturnType<typeof connect>) => {
      client.setNoDelay(true);
      const next = (i: number) => {
        if (i < whole.length) client.write(whole.subarray(i, i + 1), () => setImmediate(next, i + 1));
        else client.write("hello");
      };
      next(0);
    };
    expect(await served(write)).toEqual({ source: { address: "192.0.2.7", port: 99 }, rest: "hello" });
  });

  it("gives up on silence, on an early end and on anything else", async () => {
    expect(await served(() => {}, 50)).toBe("no PROXY header in time");
    expect(await served((client) => client.end(whole.subarray(0, 9)))).toMatch(/ended before/);
    expect(await served((client) => client.write("GET / HTTP/1.1\r\n"))).toMatch(/does not begin with/);
  });
});
