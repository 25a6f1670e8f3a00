/** What counts as encrypted, by table, for any cut into pieces, early and in little memory. judgement.property.test.ts compares. */
import fc from "fast-check";
import { createMessage, encrypt, generateKey } from "openpgp";
import { beforeAll, describe, expect, it } from "vitest";
import { createJudge, type Verdict } from "../../../services/milter/judge.ts";
import { packet, packetBytes } from "./packets.ts";

const boundary = "=-bound'(ary)";
const encryptedType = `multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${boundary}"`;

type Fields = Readonly<Record<string, readonly string[]>>;

function judged(
  body: Buffer,
  cuts: readonly number[] = [],
  allowArmorVersion = false,
  fields: Fields = {},
): Verdict {
  const all: Fields = { "content-type": [encryptedType], ...fields };
  const judge = createJudge({
    values: (name) => [...(all[name] ?? [])],
    problem: () => null,
    allowArmorVersion,
  });
  let start = 0;
  for (const end of [...cuts, body.length]) {
    // A fresh copy each: pieces are valid during the call only.
    judge.write(Buffer.from(body.subarray(start, end)));
    start = end;
  }
  return judge.end();
}

function isEncrypted(body: string | Buffer, allowArmorVersion = false, fields: Fields = {}): boolean {
  return judged(Buffer.from(body as string, "latin1"), [], allowArmorVersion, fields).kind === "encrypted";
}

function body(
  armored: string,
  parts: Partial<{ versionHead: string; version: string; messageHead: string; end: string }> = {},
) {
  const {
    versionHead = "Content-Type: application/pgp-encrypted\r\n",
    version = "Version: 1\r\n",
    messageHead = "Content-Type: application/octet-stream; name=encrypted.asc\r\n",
    end = `--${boundary}--\r\n`,
  } = parts;
  return `--${boundary}\r\n${versionHead}\r\n${version}\r\n--${boundary}\r\n${messageHead}\r\n${armored}\r\n${end}`;
}

function armor(bytes: Uint8Array, width = 64): string {
  const base64 = Buffer.from(bytes).toString("base64");
  const lines = base64.match(new RegExp(`.{1,${width}}`, "g")) ?? [];
  return ["-----BEGIN PGP MESSAGE-----", "", ...lines, "=AAAA", "-----END PGP MESSAGE-----", ""].join("\r\n");
}

const minimal = armor(packetBytes([packet(1, 20), packet(18, 40)]));

describe("the judge", () => {
  const messages: string[] = [];

  beforeAll(async () => {
    const { publicKey } = await generateKey({ userIDs: [{ email: "a@b.test" }], format: "object" });
    for (const [index, text] of ["", "hello", "x".repeat(5000), "y".repeat(300_000)].entries()) {
      const recipients =
        index % 2 === 0 ? { encryptionKeys: [publicKey, publicKey] } : { passwords: ["one", "two"] };
      messages.push(
        body(
          (await encrypt({ message: await createMessage({ text }), ...recipients })).replace(
            /\r?\n/g,
            "\r\n",
          ),
        ),
      );
    }
  });

  it("accepts what OpenPGP libraries make, however it is cut into pieces", () => {
    for (const message of messages) {
      expect(judged(Buffer.from(message))).toEqual({ kind: "encrypted" });
    }
    const cuts = fc
      .array(fc.nat(messages[2]!.length), { maxLength: 50 })
      .map((list) => list.sort((a, b) => a - b));
    fc.assert(
      fc.property(cuts, (places) => judged(Buffer.from(messages[2]!), places).kind === "encrypted"),
      { numRuns: 200 },
    );
    expect(judged(Buffer.from(messages[1]!), [...Array(messages[1]!.length).keys()]).kind).toBe("encrypted");
  });

  it("survives any bytes", () => {
    const types = fc.constantFrom(
      encryptedType,
      "multipart/encrypted",
      'multipart/encrypted; boundary=""',
      "text/plain",
      "",
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), types, (bytes, type) => {
        expect(judged(Buffer.from(bytes), [], true, { "content-type": [type] }).kind).toBe("unencrypted");
      }),
    );
  });

  it.each<[string, string, boolean]>([
    ["the least there is", body(minimal), true],
    ["no checksum", body(minimal.replace("=AAAA\r\n", "")), true],
    ["a preamble and an epilogue", `This is encrypted.\r\n${body(minimal)}goodbye\r\n`, true],
    [
      "white space after boundaries",
      body(minimal).replaceAll(`${boundary}\r\n`, `${boundary} \t\r\n`),
      false,
    ],
    ["no line end after the last boundary", body(minimal, { end: `--${boundary}--` }), true],
    [
      "a transfer encoding that changes nothing",
      body(minimal, {
        messageHead: "content-type: APPLICATION/octet-stream\r\nContent-Transfer-Encoding: 7bit\r\n",
      }),
      true,
    ],
    ["as much preamble as may be", `${"x".repeat(400)}\r\n${"x".repeat(100)}\r\n${body(minimal)}`, true],
    ["a novel as preamble", `${"x".repeat(400)}\r\n${"x".repeat(101)}\r\n${body(minimal)}`, false],
    [
      "a preamble and an epilogue, too long together",
      `${"x".repeat(300)}\r\n${body(minimal)}${"x".repeat(201)}`,
      false,
    ],
    ["a bare carriage return in the preamble", `x\r--${boundary}\r\n${body(minimal)}`, false],
    ["a NUL in the epilogue", `${body(minimal)}\0\r\n`, false],
    [
      "another boundary after the last one",
      `${body(minimal)}--${boundary}\r\n\r\nhello\r\n--${boundary}--\r\n`,
      false,
    ],
    [
      "a line that is no field in a part's header",
      body(minimal, { versionHead: "Content-Type: application/pgp-encrypted\r\nhello\r\n" }),
      false,
    ],
    [
      "a field twice in a part's header",
      body(minimal, { versionHead: `Content-Type: application/pgp-encrypted\r\n${"X: y\r\n".repeat(2)}` }),
      false,
    ],
    [
      "much to read in a part's header",
      body(minimal, { versionHead: `Content-Type: application/pgp-encrypted\r\nX: ${"x".repeat(959)}\r\n` }),
      false,
    ],
    [
      "as much to read in a part's header as may be",
      body(minimal, { versionHead: `Content-Type: application/pgp-encrypted\r\nX: ${"x".repeat(958)}\r\n` }),
      true,
    ],
    [
      "more than ASCII in a part's header",
      body(minimal, { versionHead: "Content-Type: application/pgp-encrypted\r\nX: \xe9\r\n" }),
      false,
    ],
    [
      "SMTP's end of data between bare line ends",
      body(minimal).replace("\r\n-----BEGIN", "\r\n.\r\r\n-----BEGIN"),
      false,
    ],
    [
      "one part only",
      `--${boundary}\r\nContent-Type: application/octet-stream\r\n\r\n${minimal}\r\n--${boundary}--\r\n`,
      false,
    ],
    ["a third part", body(minimal, { end: `--${boundary}\r\n\r\nhello\r\n--${boundary}--\r\n` }), false],
    ["no closing boundary", body(minimal, { end: "" }), false],
    [
      "a line that begins like the boundary",
      body(minimal, { end: `--${boundary}x\r\n--${boundary}--\r\n` }),
      false,
    ],
    ["a version other than 1", body(minimal, { version: "Version: 2\r\n" }), false],
    ["a version in other case", body(minimal, { version: "version: 1\r\n" }), false],
    ["text after the version", body(minimal, { version: "Version: 1\r\nhello\r\n" }), false],
    ["another type of the first part", body(minimal, { versionHead: "Content-Type: text/plain\r\n" }), false],
    ["no type of the second part", body(minimal, { messageHead: "" }), false],
    [
      "two types of the second part",
      body(minimal, { messageHead: "Content-Type: application/octet-stream\r\n".repeat(2) }),
      false,
    ],
    [
      "base64 around the armor",
      body(minimal, {
        messageHead: "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n",
      }),
      false,
    ],
    ["text before the armor", body(`hello\r\n${minimal}`), false],
    ["a blank line before the armor", body(`\r\n${minimal}`), false],
    ["text after the armor", body(`${minimal}hello\r\n`), false],
    ["empty lines after the armor", body(`${minimal}\r\n\r\n`), true],
    ["an armored key", body(minimal.replaceAll("MESSAGE", "PUBLIC KEY BLOCK")), false],
    ["no blank line in the armor", body(minimal.replace("\r\n\r\n", "\r\n")), false],
    ["a comment in the armor", body(minimal.replace("\r\n\r\n", "\r\nComment: hello\r\n\r\n")), false],
    ["two armored messages", body(minimal + minimal), false],
    [
      "base64 with unused bits set",
      body(armor(packetBytes([packet(18, 41)])).replace(/g==\r\n=AAAA/, "h==\r\n=AAAA")),
      false,
    ],
    ["base64 with no unused bits set", body(armor(packetBytes([packet(18, 41)]))), true],
    [
      "base64 with two unused bits set",
      body(armor(packetBytes([packet(18, 42)])).replace(/o=\r\n=AAAA/, "p=\r\n=AAAA")),
      false,
    ],
    ["base64 after its padding", body(minimal.replace("\r\n=AAAA", "=\r\nAAAA\r\n=AAAA")), false],
    [
      "the version and nothing more",
      `--${boundary}\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--${boundary}--\r\n`,
      false,
    ],
    ["a preamble that begins like the boundary", `--${boundary}x\r\n${body(minimal)}`, false],
    ["an epilogue that begins like the boundary", `${body(minimal)}--${boundary}x\r\n`, false],
    [
      "a boundary parameter of another kind in a part",
      body(minimal, { messageHead: "Content-Type: application/octet-stream; boundary*0=x\r\n" }),
      false,
    ],
    ["a line of 998 bytes", body(armor(packetBytes([packet(18, 3000)]), 998)), true],
    ["a line of 999 bytes in the armor", body(armor(packetBytes([packet(18, 3000)]), 999)), false],
    ["a space after base64", body(minimal.replace("\r\n=AAAA", " \r\n=AAAA")), false],
    [
      "a header that never ends in a part",
      body(minimal, { versionHead: `X: ${"x".repeat(900)}\r\n`.repeat(10) }),
      false,
    ],
  ])("decides about %s", (_name, message, expected) => {
    expect(isEncrypted(message)).toBe(expected);
  });

  it("takes Version: lines of the armor from other relays only", () => {
    const withVersion = (line: string) => body(minimal.replace("\r\n\r\n", `\r\nVersion: ${line}\r\n\r\n`));
    expect(isEncrypted(withVersion("Some 1.0"), false)).toBe(false);
    expect(isEncrypted(withVersion("Some 1.0"), true)).toBe(true);
    expect(isEncrypted(withVersion("one\r\nVersion: two"), true)).toBe(false);
    expect(isEncrypted(withVersion("x".repeat(91)), true)).toBe(true);
    expect(isEncrypted(withVersion("x".repeat(92)), true)).toBe(false);
  });

  it.each<[string, Fields, boolean]>([
    ["another case of the type", { "content-type": [`Multipart/ENCRYPTED; BOUNDARY="${boundary}"`] }, true],
    ["a semicolon at the end", { "content-type": [`multipart/encrypted; boundary="${boundary}";`] }, true],
    ["comments in the type", { "content-type": [`multipart/encrypted; (x) boundary="${boundary}"`] }, false],
    [
      "a quoted text in which others see a boundary",
      { "content-type": [`multipart/encrypted; x="boundary=y"; boundary="${boundary}"`] },
      false,
    ],
    [
      "a quoted quote in which others see a boundary",
      { "content-type": [`multipart/encrypted; x="a\\"; boundary=\\"y"; boundary="${boundary}"`] },
      false,
    ],
    ["an empty transfer encoding", { "content-transfer-encoding": [""] }, false],
    ["another multipart", { "content-type": [`multipart/mixed; boundary="${boundary}"`] }, false],
    ["no type", { "content-type": [] }, false],
    ["two types", { "content-type": [encryptedType, encryptedType] }, false],
    ["two boundaries", { "content-type": [`${encryptedType}; boundary=x`] }, false],
    [
      "a second boundary as RFC 2231 writes it",
      { "content-type": [`${encryptedType}; boundary*=us-ascii''x`] },
      false,
    ],
    ["a second boundary in RFC 2231's pieces", { "content-type": [`${encryptedType}; boundary*0=x`] }, false],
    ["no boundary", { "content-type": ["multipart/encrypted"] }, false],
    ["a transfer encoding", { "content-transfer-encoding": ["base64"] }, false],
  ])("reads the header: %s", (_name, fields, expected) => {
    expect(isEncrypted(body(minimal), false, fields)).toBe(expected);
  });

  it.each<[string, Fields, string, boolean]>([
    ["vc", {}, "secure-join: vc-request\r\n", true],
    [
      "vg, other case and white space",
      { "secure-join": ["vg-request"] },
      "\r\n Secure-Join: VG-request \r\n\r\n",
      true,
    ],
    ["no header", { "secure-join": [] }, "secure-join: vc-request\r\n", false],
    ["two headers", { "secure-join": ["vc-request", "vc-request"] }, "secure-join: vc-request\r\n", false],
    ["another header", { "secure-join": ["vc-request-with-auth"] }, "secure-join: vc-request\r\n", false],
    ["the header in other case", { "secure-join": ["VC-request"] }, "secure-join: vc-request\r\n", false],
    ["more text", {}, "secure-join: vc-request\r\nhello\r\n", false],
    ["a long text", {}, `secure-join: vc-request\r\n${" \r\n".repeat(200)}`, false],
    ["two parts", {}, `secure-join: vc-request\r\n--${boundary}\r\n\r\nsecure-join: vc-request\r\n`, false],
    ["no multipart", { "content-type": ["text/plain"] }, "secure-join: vc-request\r\n", false],
  ])("knows a secure-join request: %s", (_name, fields, text, expected) => {
    const message = `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n${text}\r\n--${boundary}--\r\n`;
    const all = {
      "content-type": [`multipart/mixed; boundary="${boundary}"`],
      "secure-join": ["vc-request"],
      ...fields,
    };
    expect(judged(Buffer.from(message), [], false, all).kind).toBe(
      expected ? "secure-join request" : "unencrypted",
    );
  });

  it.each<[string, string, string]>([
    ["another type of the first part", "text/plain", "Content-Type: application/pgp-encrypted\r\n\r\n"],
    ["another version", "Version: 2\r\n", "Version: 1\r\n"],
    ["text instead of an armor", "hello\r\n", "-----BEGIN PGP MESSAGE-----\r\n"],
    [
      "a literal packet",
      `${packetBytes([packet(11, 60)]).toString("base64")}\r\n`,
      `${packetBytes([packet(1, 20), packet(18, 40)])
        .toString("base64")
        .slice(0, 64)}\r\n`,
    ],
    [
      "a line that begins like the boundary",
      `--${boundary}x\r\n`,
      `--${boundary}\r\nContent-Type: application/octet-stream`,
    ],
  ])("knows at once that %s cannot become encrypted", (_name, wrong, right) => {
    const whole = body(minimal);
    const at = whole.indexOf(right);
    expect(at).toBeGreaterThan(0);
    const message = { "content-type": [encryptedType] } as Fields;
    const judge = createJudge({
      values: (name) => [...(message[name] ?? [])],
      problem: () => null,
      allowArmorVersion: false,
    });
    judge.write(Buffer.from(whole.slice(0, at)));
    expect(judge.isHopeless()).toBe(false);
    judge.write(
      Buffer.from(
        right.startsWith("Content-Type") ? right.replace("application/pgp-encrypted", wrong) : wrong,
      ),
    );
    expect(judge.isHopeless()).toBe(true);
  });

  it("knows by the header alone that plain mail is hopeless", () => {
    const values = (name: string) => (name === "content-type" ? ["text/plain"] : []);
    expect(createJudge({ values, problem: () => null, allowArmorVersion: false }).isHopeless()).toBe(true);
  });
});
