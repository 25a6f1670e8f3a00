import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { createHelloReader, MAX_HELLO_BYTES } from "../../../services/mux/client-hello.ts";
import { alpnExtension, helloMessage, inRecords, nodeHello, opensslHello } from "./hellos.ts";

const more = { kind: "more" };
const notTls = { kind: "refused", why: "not TLS" };
const tooLong = { kind: "refused", why: "too long" };
const hello = (...protocols: string[]) => ({ kind: "hello", protocols });

const readClientHello = (bytes: Buffer) => createHelloReader()(bytes);

/** The answer when the bytes come one by one: the first that is not "more". */
function readByteByByte(bytes: Buffer): unknown {
  const reader = createHelloReader();
  for (let length = 0; length < bytes.length; length++) {
    const read = reader(bytes.subarray(0, length));
    if (read.kind !== "more") return read;
  }
  return reader(bytes);
}

describe("the protocols of a ClientHello", () => {
  describe("that a real program says", () => {
    let real: readonly (readonly [what: string, bytes: Buffer, protocols: string[]])[] = [];
    beforeAll(async () => {
      real = [
        ["Node, nothing asked for", await nodeHello(), []],
        ["Node, imap", await nodeHello({ ALPNProtocols: ["imap"] }), ["imap"]],
        ["Node, a browser's", await nodeHello({ ALPNProtocols: ["h2", "http/1.1"] }), ["h2", "http/1.1"]],
        [
          "Node, SNI, TLS 1.2",
          await nodeHello({ servername: "chat.example", ALPNProtocols: ["smtp"], maxVersion: "TLSv1.2" }),
          ["smtp"],
        ],
        [
          "Node, post-quantum key shares",
          await nodeHello({ ecdhCurve: "X25519MLKEM768:SecP384r1MLKEM1024", ALPNProtocols: ["imap"] }),
          ["imap"],
        ],
        ["openssl, nothing asked for", await opensslHello([]), []],
        ["openssl, smtp", await opensslHello(["-alpn", "smtp", "-servername", "chat.example"]), ["smtp"]],
        ["openssl, TLS 1.2", await opensslHello(["-tls1_2", "-alpn", "x,imap"]), ["x", "imap"]],
        // RFC 8449; it only bounds what comes back, and makes another extension.
        ["openssl, small fragments", await opensslHello(["-maxfraglen", "512", "-alpn", "imap"]), ["imap"]],
      ];
    });

    /** Where what is read of `bytesAt(i)` is not `expected`. */
    const wrongPlaces = (count: number, bytesAt: (i: number) => Buffer, expected: object) => {
      const text = JSON.stringify(expected);
      const places = Array.from({ length: count }, (_, i) => i);
      return places.filter((i) => JSON.stringify(readClientHello(bytesAt(i))) !== text);
    };

    it("are read, whole and byte by byte", () => {
      expect(Math.max(...real.map(([, bytes]) => bytes.length))).toBeGreaterThan(1200);
      for (const [what, bytes, protocols] of real) {
        expect([what, readClientHello(bytes)]).toEqual([what, hello(...protocols)]);
        expect([what, wrongPlaces(bytes.length, (i) => bytes.subarray(0, i), more)]).toEqual([what, []]);
      }
    });

    it("are read when the message is split over records at any place", () => {
      for (const [what, bytes, protocols] of real) {
        const message = bytes.subarray(5);
        const split = (i: number) => inRecords(message, [i + 1, 16_384]);
        expect([what, wrongPlaces(message.length - 1, split, hello(...protocols))]).toEqual([what, []]);
        expect([what, readByteByByte(inRecords(message, [1]))]).toEqual([what, hello(...protocols)]);
      }
    });

    it("are the same whatever follows", () => {
      for (const [what, bytes, protocols] of real) {
        const read = readClientHello(Buffer.concat([bytes, Buffer.alloc(100_000, 23)]));
        expect([what, read]).toEqual([what, hello(...protocols)]);
      }
    });

    it("never make the reader throw or change its mind, however the bytes are changed", () => {
      const change = fc.record({
        hello: fc.nat(),
        changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        cut: fc.nat(),
        sizes: fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 4 }),
      });
      const seen = new Set<string>();
      fc.assert(
        fc.property(change, ({ hello, changes, cut, sizes }) => {
          const [, bytes] = real[hello % real.length]!;
          const changed = inRecords(bytes.subarray(5), sizes);
          for (const [at, value] of changes) changed[at % changed.length] = value;
          const whole = readClientHello(changed);
          seen.add(whole.kind);
          const reader = createHelloReader();
          const part = reader(changed.subarray(0, cut % changed.length));
          expect(part.kind === "more" ? reader(changed) : part).toEqual(whole);
        }),
        { numRuns: 3000 },
      );
      expect([...seen].sort()).toEqual(["hello", "more", "refused"]);
    });
  });

  it("are those of the extension, in the client's order, wherever it stands", () => {
    const grease = [0x5a5a, Buffer.alloc(0)] as const;
    const keyShare = [51, Buffer.alloc(4000, 1)] as const;
    const message = helloMessage({
      protocols: ["\x0a\x0a", "smtp", "imap"],
      before: [grease, keyShare],
      after: [grease],
    });
    expect(readByteByByte(inRecords(message))).toEqual(hello("\x0a\x0a", "smtp", "imap"));
    expect(readClientHello(inRecords(helloMessage({ before: [keyShare] })))).toEqual(hello());
  });

  it("are none where there are no extensions at all (TLS 1.2)", () => {
    const message = helloMessage();
    const bare = Buffer.from(message.subarray(0, message.length - 2));
    bare.writeUInt16BE(bare.length - 4, 2);
    expect(readClientHello(inRecords(bare))).toEqual(hello());
  });

  it.each<[what: string, bytes: Buffer]>([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["SSH", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")],
    ["SMTP", Buffer.from("EHLO there\r\n")],
    ["SSL 2", Buffer.from("802e010002001500000010010080020080", "hex")],
    ["an alert", Buffer.from([21, 3, 1, 0, 2, 2, 40])],
    ["another handshake message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
    ["a record over 2^14 bytes", Buffer.from([22, 3, 1, 0x40, 1])],
    ["version 2 of the record", Buffer.from([22, 2])],
    [
      "a record of data in the middle",
      Buffer.concat([inRecords(helloMessage().subarray(0, 20)), Buffer.from([23, 3])]),
    ],
    ["a message that ends in its session id", inRecords(Buffer.from([1, 0, 0, 36, ...Array(35).fill(3), 9]))],
    [
      "two ALPN extensions",
      inRecords(helloMessage({ protocols: ["h2"], after: [[16, alpnExtension(["imap"])]] })),
    ],
    ["an empty list of protocols", inRecords(helloMessage({ before: [[16, Buffer.from([0, 0])]] }))],
    ["an empty name", inRecords(helloMessage({ protocols: [""] }))],
    [
      "a list longer than its extension",
      inRecords(helloMessage({ before: [[16, Buffer.from([0, 9, 1, 65])]] })),
    ],
    ["a name longer than its list", inRecords(helloMessage({ before: [[16, Buffer.from([0, 2, 9, 65])]] }))],
  ])("are not looked for in %s", (_what, bytes) => {
    expect(readClientHello(bytes)).toEqual(notTls);
    expect(readByteByByte(bytes)).toEqual(notTls);
  });

  it("are read up to 16 KiB and not beyond, however it is split", () => {
    const ofSize = (bytes: number) =>
      helloMessage({ protocols: ["imap"], before: [[51, Buffer.alloc(bytes)]] });
    const around = ofSize(0).length + 5;
    const longest = inRecords(ofSize(MAX_HELLO_BYTES - around));
    expect(longest).toHaveLength(MAX_HELLO_BYTES);
    expect(readClientHello(longest)).toEqual(hello("imap"));
    expect(readClientHello(inRecords(ofSize(MAX_HELLO_BYTES - around + 1)))).toEqual(tooLong);
    // A length of 16 MB is refused as soon as it is said.
    expect(readClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255]))).toEqual(tooLong);
    // Heads of records count: six bytes for each of the message.
    const crumbs = inRecords(ofSize(4000), [1]);
    expect(readClientHello(crumbs)).toEqual(tooLong);
    expect(readClientHello(crumbs.subarray(0, MAX_HELLO_BYTES - 1))).toEqual(more);
    expect(readClientHello(crumbs.subarray(0, MAX_HELLO_BYTES))).toEqual(tooLong);
  });
});
