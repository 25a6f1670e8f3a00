/** What counts as encrypted: by table, against a plain whole-message reading of the same rules, and for any cut into pieces. */
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
  const judge = createJudge({ values: (name) => [...(all[name] ?? [])], allowArmorVersion });
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

function armor(bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PGP MESSAGE-----", "", ...lines, "=AAAA", "-----END PGP MESSAGE-----", ""].join("\r\n");
}

const minimal = armor(packetBytes([packet(1, 20), packet(18, 40)]));

/** The rules once more, read off a whole message at once, for comparison. */
function plainReading(whole: string): boolean {
  const lines = whole
    .split("\n")
    .map((line, index, all) => (index < all.length - 1 ? line.replace(/\r$/, "") : line));
  if (lines.some((line) => line.length > 998)) return false;
  const delimiter = `--${boundary}`;
  const starts: number[] = [];
  let close = -1;
  for (const [index, line] of lines.entries()) {
    if (close >= 0 || !line.startsWith(delimiter)) continue;
    const rest = line.slice(delimiter.length);
    if (/^[ \t]*$/.test(rest)) starts.push(index);
    else if (/^--[ \t]*$/.test(rest)) close = index;
    else return false;
  }
  if (starts.length !== 2 || close < 0) return false;
  const outside = [...lines.slice(0, starts[0]), ...lines.slice(close + 1)];
  if (outside.join("").length > 1000) return false;
  const [first, second] = [lines.slice(starts[0]! + 1, starts[1]), lines.slice(starts[1]! + 1, close)];
  const part = (all: string[], type: string) => {
    const blank = all.indexOf("");
    if (blank < 0) return null;
    const fields = all.slice(0, blank).map((line) => /^([^:]*?)[ \t]*:([^;]*)/.exec(line));
    const types = fields.filter((field) => field?.[1]?.toLowerCase() === "content-type");
    return types.length === 1 && types[0]![2]!.trim().toLowerCase() === type ? all.slice(blank + 1) : null;
  };
  const version = part(first!, "application/pgp-encrypted");
  const message = part(second!, "application/octet-stream");
  if (!/^[ \t\r\n]*Version: 1[ \t\r\n]*$/.test(version?.join("\n") ?? "") || message === null) return false;
  const text = message.join("\n").replace(/\n*$/, "");
  const found =
    /^-----BEGIN PGP MESSAGE-----\n\n+([A-Za-z0-9+/\n]+={0,2})(?:\n=[A-Za-z0-9+/]{4})?\n-----END PGP MESSAGE-----$/.exec(
      text,
    );
  if (found === null || /\n\n/.test(found[1]!)) return false;
  const base64 = found[1]!.replaceAll("\n", "");
  const bytes = Buffer.from(base64, "base64");
  return bytes.toString("base64") === base64 && isSequence(bytes);
}

function isSequence(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at]!;
    // openpgp writes new-format packets only.
    if ((tag & 0xc0) !== 0xc0) return false;
    const type = tag & 0x3f;
    if (![1, 3, 18].includes(type)) return false;
    at++;
    let isPartial = true;
    for (let number = 0; isPartial; number++) {
      const octet = bytes[at];
      if (octet === undefined) return false;
      isPartial = octet >= 224 && octet < 255;
      if (isPartial && (type !== 18 || (number === 0 && octet < 224 + 9))) return false;
      const [size, length] = isPartial
        ? [1, 2 ** (octet & 31)]
        : octet < 192
          ? [1, octet]
          : octet < 224
            ? [2, (octet - 192) * 256 + (bytes[at + 1] ?? 0) + 192]
            : [5, at + 5 <= bytes.length ? bytes.readUInt32BE(at + 1) : Number.POSITIVE_INFINITY];
      at += size + length;
    }
    if (at > bytes.length) return false;
    if (type === 18) return at === bytes.length;
  }
  return false;
}

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
      expect(plainReading(message)).toBe(true);
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

  it("agrees with a plain reading of the rules about every mutation of a valid message", () => {
    const mutation = fc.record({
      place: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      kind: fc.constantFrom(
        "replace",
        "delete",
        "insert",
        "truncate",
        "drop line",
        "double line",
        "swap lines",
      ),
      text: fc.oneof(
        fc.string({ unit: "binary-ascii", maxLength: 3 }),
        fc.constantFrom(
          "\r\n",
          "\r\n\r\n",
          "=",
          "-",
          "A",
          `--${boundary}`,
          `\r\n--${boundary}\r\n`,
          `--${boundary}--`,
        ),
      ),
    });
    const mutate = (
      text: string,
      { place, kind, text: inserted }: typeof mutation extends fc.Arbitrary<infer T> ? T : never,
    ) => {
      const at = Math.floor(place * text.length);
      if (kind === "replace") return text.slice(0, at) + inserted + text.slice(at + inserted.length);
      if (kind === "delete") return text.slice(0, at) + text.slice(at + 1);
      if (kind === "insert") return text.slice(0, at) + inserted + text.slice(at);
      if (kind === "truncate") return text.slice(0, at);
      const lines = text.split("\r\n");
      const line = Math.floor(place * lines.length);
      if (kind === "drop line") lines.splice(line, 1);
      else if (kind === "double line") lines.splice(line, 0, lines[line]!);
      else lines.splice(line, 0, lines.splice((line + 1) % lines.length, 1)[0]!);
      return lines.join("\r\n");
    };
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1),
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        fc.nat(1500),
        (which, list, cut) => {
          const mutated = list.reduce(mutate, messages[which]!);
          const verdict = judged(Buffer.from(mutated, "latin1"), [Math.min(cut, mutated.length)]);
          expect(verdict.kind === "encrypted").toBe(plainReading(mutated));
        },
      ),
      { numRuns: 3000 },
    );
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
    ["white space after boundaries", body(minimal).replaceAll(`${boundary}\r\n`, `${boundary} \t\r\n`), true],
    ["no line end after the last boundary", body(minimal, { end: `--${boundary}--` }), true],
    [
      "a transfer encoding that changes nothing",
      body(minimal, {
        messageHead: "content-type: APPLICATION/octet-stream\r\nContent-Transfer-Encoding: 7bit\r\n",
      }),
      true,
    ],
    ["a novel as preamble", `${"x".repeat(900)}\r\n${"x".repeat(101)}\r\n${body(minimal)}`, false],
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
      body(armor(packetBytes([packet(18, 41)])).replace(/.=\r\n=AAAA/, "B=\r\n=AAAA")),
      false,
    ],
    ["a space after base64", body(minimal.replace("\r\n=AAAA", " \r\n=AAAA")), false],
    [
      "a line of 999 bytes",
      body(
        armor(packetBytes([packet(18, 2000)])).replaceAll(/(?<=[A-Za-z0-9+/]{64})\r\n(?=[A-Za-z0-9])/g, ""),
      ),
      false,
    ],
    [
      "a header that never ends in a part",
      body(minimal, { versionHead: `X: ${"x".repeat(900)}\r\n`.repeat(10) }),
      false,
    ],
  ])("decides about %s", (_name, message, expected) => {
    expect(isEncrypted(message)).toBe(expected);
  });

  it("takes Version: lines of the armor from other relays only", () => {
    const message = body(minimal.replace("\r\n\r\n", "\r\nVersion: Some 1.0\r\n\r\n"));
    expect(isEncrypted(message, false)).toBe(false);
    expect(isEncrypted(message, true)).toBe(true);
  });

  it.each<[string, Fields, boolean]>([
    ["another case of the type", { "content-type": [`Multipart/ENCRYPTED; BOUNDARY="${boundary}"`] }, true],
    [
      "comments in the type",
      { "content-type": [`multipart/encrypted (x) ; (y) boundary="${boundary}";`] },
      true,
    ],
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

  it("needs no more memory for a large message", () => {
    const judge = createJudge({
      values: (name) => (name === "content-type" ? [encryptedType] : []),
      allowArmorVersion: false,
    });
    const [head, tail] = body("ARMOR").split("ARMOR") as [string, string];
    const line = `${"A".repeat(64)}\r\n`;
    const lines = 1_000_000;
    const piece = Buffer.from(line.repeat(1000));
    const length = lines * 48 - 6;
    const size = Buffer.from([
      0xd2,
      0xff,
      length >>> 24,
      (length >>> 16) & 255,
      (length >>> 8) & 255,
      length & 255,
    ]);
    judge.write(
      Buffer.from(
        `${head}-----BEGIN PGP MESSAGE-----\r\n\r\n${size.toString("base64")}${"A".repeat(56)}\r\n`,
      ),
    );
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let written = 1; written < lines; written += 1000) {
      judge.write(written + 1000 > lines ? piece.subarray(0, (lines - written) * line.length) : piece);
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    judge.write(Buffer.from(`-----END PGP MESSAGE-----\r\n${tail}`));
    expect(judge.end()).toEqual({ kind: "encrypted" });
    expect(most).toBeLessThan(1_000_000);
  });
});
