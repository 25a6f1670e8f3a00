/**
 * What can be wrong with a message, as named changes of a valid one: header, MIME structure, armor, packets,
 * bytes. Each takes the whole message and a random source, and gives the changed message. Used by the property
 * tests and the fuzzer.
 */
import { boundary } from "./made-messages.ts";

/** A number from 0 to below `limit`. */
export type Pick = (limit: number) => number;
export type Mutation = readonly [name: string, change: (message: string, pick: Pick) => string];

const one = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!;
const delimiter = `--${boundary}`;

/** Puts `text` in front of one occurrence of `anchor`, at random. */
function before(message: string, pick: Pick, anchor: RegExp, text: string): string {
  const places = [...message.matchAll(anchor)].map((found) => found.index);
  if (places.length === 0) return message;
  const at = one(pick, places);
  return message.slice(0, at) + text + message.slice(at);
}

/** The armored bytes replaced by what `change` makes of them; the message as it is when it holds no armor. */
function withBytes(message: string, change: (bytes: Buffer) => Buffer): string {
  const found =
    /(-----BEGIN PGP MESSAGE-----\r\n\r\n)([A-Za-z0-9+/=\r\n]+?)((?:=[A-Za-z0-9+/]{4}\r\n)?-----END)/.exec(
      message,
    );
  if (found === null) return message;
  const [whole, head, base64, tail] = found as unknown as [string, string, string, string];
  const lines =
    change(Buffer.from(base64, "base64"))
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return message.replace(whole, () => `${head}${lines.join("\r\n")}\r\n${tail}`);
}

/** Where packets begin, as long as the bytes are plain. */
function packetStarts(bytes: Buffer): number[] {
  const starts: number[] = [];
  for (let at = 0; at + 6 < bytes.length && bytes[at]! >= 0xc0; ) {
    starts.push(at);
    const octet = bytes[at + 1]!;
    if (octet < 192) at += 2 + octet;
    else if (octet < 224) at += 3 + (octet - 192) * 256 + bytes[at + 2]! + 192;
    else if (octet === 255) at += 6 + bytes.readUInt32BE(at + 2);
    else break;
  }
  return starts;
}

function splice(bytes: Buffer, at: number, removed: number, ...inserted: Uint8Array[]): Buffer {
  return Buffer.concat([bytes.subarray(0, at), ...inserted, bytes.subarray(at + removed)]);
}

/** Packets that have no business in an encrypted message, and frames that hide something. */
const strangePackets = [
  ...[8, 9, 11, 2, 4, 5, 6, 10, 12, 13, 17, 19, 20, 21, 0, 39, 40, 63].map((type) => [
    0xc0 | type,
    3,
    0x50,
    0x47,
    0x50,
  ]),
  [0xa3, 1, 2, 3],
  [0xac, 5, 0x62, 0, 0, 0, 0],
  [0xcb, 11, 0x74, 0, 0, 0, 0, 0, 0x68, 0x65, 0x6c, 0x6c, 0x6f],
  [0xc1, 13, 2, ...Array(12).fill(0x20)],
  [0xc1, 13, 6, ...Array(12).fill(0x20)],
  [0xc1, 12, 3, ...Array(11).fill(0x20)],
  [0xc1, 11, 3, ...Array(10).fill(0x20)],
  [0xc3, 4, 4, 9, 0, 8],
  [0xc3, 4, 5, 9, 0, 8],
  [0xc3, 4, 6, 9, 0, 8],
  [0xc3, 3, 4, 9, 0],
  [0x84, 12, 3, ...Array(11).fill(7)],
  [0x85, 0, 12, 3, ...Array(11).fill(7)],
  [0x86, 0, 0, 0, 12, 3, ...Array(11).fill(7)],
  [0x87, 3, ...Array(11).fill(7)],
  [0xc1, 0xff, 0, 0, 0, 12, 3, ...Array(11).fill(7)],
  [0xc1, 0xff, 0xff, 0xff, 0xff, 0xff, 3],
  [0xc1, 0xe9, 3, ...Array(511).fill(7)],
  [0xc1, 0xcf, 0x40, 3, ...Array(4095).fill(7)],
  [0xc1, 0xcf, 0x41, 3, ...Array(4096).fill(7)],
  [0xd2, 35, 1, ...Array(34).fill(7)],
  [0xd2, 34, 1, ...Array(33).fill(7)],
  [0xd2, 70, 2, 9, 2, 6, ...Array(66).fill(7)],
  [0xd2, 69, 2, 9, 2, 6, ...Array(65).fill(7)],
  [0xd2, 0xe9, 1, ...Array(511).fill(7), 0],
  [0xd2, 0xe8, 1, ...Array(255).fill(7), 0],
  [0xd2, 0xe9, 2, 9, 2, 6, ...Array(508).fill(7), 0xe0, 1, 0xff, 0, 0, 0, 0],
  [0xc1],
  [0xd2, 0xe9],
  [0xc0],
  [0x80],
  [0],
].map((octets) => Uint8Array.from(octets));

const packetMutations: readonly Mutation[] = [
  [
    "a packet before",
    (message, pick) => withBytes(message, (bytes) => splice(bytes, 0, 0, one(pick, strangePackets))),
  ],
  [
    "a packet between",
    (message, pick) =>
      withBytes(message, (bytes) =>
        splice(bytes, one(pick, [0, ...packetStarts(bytes)]), 0, one(pick, strangePackets)),
      ),
  ],
  [
    "a packet after",
    (message, pick) =>
      withBytes(message, (bytes) => splice(bytes, bytes.length, 0, one(pick, strangePackets))),
  ],
  [
    "another message altogether",
    (message, pick) =>
      withBytes(message, () =>
        Buffer.concat(Array.from({ length: 1 + pick(3) }, () => one(pick, strangePackets))),
      ),
  ],
  [
    "no last packet",
    (message) => withBytes(message, (bytes) => bytes.subarray(0, packetStarts(bytes).at(-1))),
  ],
  [
    "no first packet",
    (message) => withBytes(message, (bytes) => bytes.subarray(packetStarts(bytes)[1] ?? 0)),
  ],
  ["bytes missing", (message, pick) => withBytes(message, (bytes) => bytes.subarray(0, pick(bytes.length)))],
  [
    "another octet of a packet's beginning",
    (message, pick) =>
      withBytes(message, (bytes) => {
        const at = Math.min(one(pick, [0, ...packetStarts(bytes)]) + pick(8), bytes.length - 1);
        return splice(
          bytes,
          at,
          1,
          Uint8Array.of(one(pick, [pick(256), 0, 1, 2, 3, 4, 6, 192, 224, 233, 254, 255])),
        );
      }),
  ],
  [
    "an octet more or less",
    (message, pick) =>
      withBytes(message, (bytes) =>
        splice(bytes, pick(bytes.length), pick(2), Buffer.alloc(pick(2), pick(256))),
      ),
  ],
];

const armorMutations: readonly Mutation[] = [
  ["another checksum", (message) => message.replace(/^=[A-Za-z0-9+/]{4}(?=\r$)/m, "=AAAA")],
  ["a checksum", (message) => message.replace("-----END", "=AAAA\r\n-----END")],
  ["no checksum", (message) => message.replace(/^=[A-Za-z0-9+/]{4}\r\n/m, "")],
  [
    "padding",
    (message, pick) => message.replace(/=*\r\n(?=(?:=....\r\n)?-----END)/, `${"=".repeat(pick(5))}\r\n`),
  ],
  [
    "an armor header",
    (message, pick) =>
      message.replace(
        "MESSAGE-----\r\n\r\n",
        () =>
          `MESSAGE-----\r\n${one(pick, [
            "Version: Some 1.0",
            "Version: a\r\nVersion: b",
            `Version: ${"x".repeat(91)}`,
            `Version: ${"x".repeat(92)}`,
            "version: x",
            "Version:x",
            "Version: ",
            "Version: \xe9",
            "Version: a\rb",
            "Comment: hello",
            "Hash: SHA256",
            "Charset: UTF-8",
            "MessageID: x",
            "X",
            " ",
            "\t",
            " Version: x",
            "hello\r\n\r\nCharset: x",
          ])}\r\n\r\n`,
      ),
  ],
  [
    "another armor line",
    (message, pick) =>
      message.replace(one(pick, [/-----BEGIN PGP MESSAGE-----/, /-----END PGP MESSAGE-----/]), () =>
        one(pick, [
          "-----BEGIN PGP MESSAGE-----",
          "-----END PGP MESSAGE-----",
          "-----BEGIN PGP MESSAGE, PART 1/2-----",
          "-----BEGIN PGP PUBLIC KEY BLOCK-----",
          "-----BEGIN PGP SIGNED MESSAGE-----",
          "----BEGIN PGP MESSAGE----",
          "-----begin pgp message-----",
          "-----BEGIN PGP MESSAGE----- ",
          " -----BEGIN PGP MESSAGE-----",
          "-----END PGP MESSAGE----- ",
          "-----END PGP MESSAGE-----x",
          "-----END PGP SIGNATURE-----",
          "",
        ]),
      ),
  ],
  [
    "text around the armor",
    (message, pick) =>
      message.replace(
        one(pick, [
          /(?=-----BEGIN)/,
          /(?<=MESSAGE-----\r\n)(?!\r\n[A-Za-z0-9])/,
          /(?<=END PGP MESSAGE-----)\r\n/,
          /(?=-----END)/,
        ]),
        (found) =>
          found +
          one(pick, ["hello\r\n", "\r\n", " \r\n", "\n", "\0\r\n", "\r\n\r\n\r\n", "-----\r\n", "=\r\n"]),
      ),
  ],
  ["two armors", (message) => message.replace(/(-----BEGIN[\s\S]*END PGP MESSAGE-----\r\n)/, "$1$1")],
  [
    "other lines of base64",
    (message, pick) => {
      const width = 1 + pick(1100);
      return message.replace(
        /(?<=MESSAGE-----\r\n\r\n)[A-Za-z0-9+/\r\n]+/,
        (lines) =>
          `${(lines.replace(/\r\n/g, "").match(new RegExp(`.{1,${width}}`, "g")) ?? []).join("\r\n")}${lines.endsWith("\n") ? "\r\n" : ""}`,
      );
    },
  ],
  [
    "another character in base64",
    (message, pick) => {
      const end = message.indexOf("-----END");
      const at = Math.max(
        0,
        message.indexOf("MESSAGE-----") + 16 + pick(Math.max(1, end - message.indexOf("MESSAGE-----") - 16)),
      );
      return (
        message.slice(0, at) +
        one(pick, [
          "-",
          "_",
          "=",
          " ",
          "\0",
          "\xa0",
          ".",
          "B",
          "\r",
          "\n",
          "\r\n",
          "\r\n\r\n",
          "==\r\n",
          "=AAAA\r\n",
        ]) +
        message.slice(at + pick(2))
      );
    },
  ],
];

const structureMutations: readonly Mutation[] = [
  [
    "a line that looks like a boundary",
    (message, pick) =>
      before(
        message,
        pick,
        /^(?!\t)/gm,
        `${one(pick, [delimiter, `${delimiter}--`, `${delimiter}x`, `${delimiter} `, `${delimiter}-- `, `${delimiter}-`, `--${boundary.slice(0, -1)}`, `-${delimiter}`, ` ${delimiter}`, `${delimiter}\0`, `${delimiter}\rx`, `${delimiter}--\t`, `>${delimiter}`])}${one(pick, ["\r\n", "\n", "\r", "\r\n\r\n"])}`,
      ),
  ],
  [
    "a part",
    (message, pick) =>
      before(
        message,
        pick,
        new RegExp(`^${delimiter.replace(/[()+?]/g, "\\$&")}`, "gm"),
        `${delimiter}\r\n${one(pick, ["", "Content-Type: text/plain\r\n", "Content-Type: text/html\r\n", "Content-Type: multipart/mixed; boundary=x\r\n", "Content-Type: message/rfc822\r\n", "Content-Type: application/octet-stream\r\n", "Content-Type: application/pgp-encrypted\r\n"])}\r\nhello\r\n`,
      ),
  ],
  [
    "a missing delimiter",
    (message, pick) => {
      const places = [...message.matchAll(/^--=-bound'\(ary\)(?:--)?\r\n/gm)];
      if (places.length === 0) return message;
      const found = one(pick, places);
      return message.slice(0, found.index) + message.slice(found.index + found[0].length);
    },
  ],
  ["a part twice", (message) => message.replace(/(--=-bound[\s\S]*?)(?=--=-bound)/, "$1$1")],
  [
    "parts the other way round",
    (message) => message.replace(/(--=-bound[\s\S]*?)(--=-bound[\s\S]*?)(?=--=-bound)/, "$2$1"),
  ],
  [
    "a preamble or an epilogue",
    (message, pick) => {
      const text = `${one(pick, ["This is an encrypted message.", "x".repeat(498), "x".repeat(500), "x".repeat(501), "y\r\n".repeat(400), "y\r\n".repeat(501), "\r\n".repeat(3000), "a\0b", "a\rb", "\x1b[1m", "caf\xe9", "\t", ".", "\n.\n", "\r\n.\r\nMAIL FROM:<a@b.test>", "\r.\r\n"])}\r\n`;
      return pick(2) === 0 ? message.replace("\r\n\r\n", () => `\r\n\r\n${text}`) : message + text;
    },
  ],
  [
    "another line end",
    (message, pick) => {
      const ends = [...message.matchAll(/\r\n/g)];
      if (ends.length === 0) return message;
      const at = one(pick, ends).index;
      return (
        message.slice(0, at) +
        one(pick, ["\n", "\r", "\r\r\n", "\n\r", "", "\r\n.\r\n", "\n.\n", "\n.\r\n", "\r.\r"]) +
        message.slice(at + 2)
      );
    },
  ],
  ["bare line feeds only", (message) => message.replaceAll("\r\n", "\n")],
  [
    "many parts",
    (message, pick) => message.replace(/(?=--=-bound)/, () => `${delimiter}\r\n\r\n`.repeat(1 + pick(200))),
  ],
  [
    "another version",
    (message, pick) =>
      message.replace(/Version: 1|Secure-Join: vc-request(?=\r\n--)/, () =>
        one(pick, [
          "Version: 2",
          "version: 1",
          "Version:1",
          "Version: 1 ",
          "\r\n\r\n Version: 1\t\r\n",
          "Version: 1\r\nhello",
          "hello\r\nVersion: 1",
          "Version: 1.0",
          "\xa0Version: 1",
          "\vVersion: 1",
          "Version: 1\0",
          "Version: 1\r",
          "Version: 1\r\nVersion: 1",
          `Version: 1${"\r\n".repeat(100)}`,
          `Version: 1${"\r\n".repeat(200)}`,
          "secure-join: vg-request",
          "secure-join: vc-request\r\nhello",
          "secure-join: vc-request-with-auth",
          "Secure-Join:  vc-request",
          "=56ersion: 1",
          "VmVyc2lvbjogMQ==",
        ]),
      ),
  ],
  [
    "a line in a part's header",
    (message, pick) =>
      before(
        message,
        pick,
        /^(?=Content-Type: (?:application|text)|\r\n(?:Version|-----BEGIN|Secure))/gm,
        one(pick, [
          "Content-Description: a description\r\n",
          'Content-Disposition: inline; filename="encrypted.asc"\r\n',
          `X: ${"x".repeat(950)}\r\n`,
          `X: ${"x".repeat(400)}\r\nY: ${"x".repeat(500)}\r\n`,
          "Content-Transfer-Encoding: base64\r\n",
          "Content-Transfer-Encoding: quoted-printable\r\n",
          "Content-Transfer-Encoding: 7bit\r\n",
          "Content-Transfer-Encoding: BINARY\r\n",
          "Content-Transfer-Encoding:\r\n",
          "Content-Transfer-Encoding: 7bit;\r\n",
          "Content-Transfer-Encoding: x-uuencode\r\n",
          "content-type: text/plain\r\n",
          "Content-Type : text/plain\r\n",
          "no field\r\n",
          " folded\r\n",
          " \r\n",
          "\tx\r\n",
          "X\r\n",
          ":\r\n",
          "X: \xe9\r\n",
          "X: \0\r\n",
          "X: a\rContent-Type: text/plain\r\n",
          "From mbox\r\n",
          "Content-Type\0: text/html\r\n",
          "Subject: hello\r\n",
        ]),
      ),
  ],
];

/** Types and parameters that readers take differently. `b` stands for the boundary. */
const contentTypes = [
  'Multipart/ENCRYPTED; BOUNDARY="b"',
  'multipart/encrypted; boundary="b";',
  'multipart/encrypted; boundary="b"; ;',
  'multipart/encrypted;; boundary="b"',
  'multipart/encrypted boundary="b"',
  'multipart/encrypted (x); boundary="b"',
  'multipart/encrypted; (boundary=x) boundary="b"',
  "multipart/encrypted; boundary=b",
  "multipart/encrypted; boundary='b'",
  'multipart/encrypted; boundary="b"; boundary=x',
  'multipart/encrypted; boundary=x; boundary="b"',
  "multipart/encrypted; boundary=\"b\"; boundary*=us-ascii''x",
  'multipart/encrypted; boundary*0="b"',
  'multipart/encrypted; boundary*0="=-bou"; boundary*1="nd\'(ary)"',
  "multipart/encrypted; boundary*0*=us-ascii''x; boundary=\"b\"",
  'multipart/encrypted; x="boundary=y"; boundary="b"',
  'multipart/encrypted; x-boundary=y; boundary="b"',
  'multipart/encrypted; protocol="a\\"; boundary=\\"x"; boundary="b"',
  'multipart/encrypted; protocol="a; b"; boundary="b"',
  'multipart/encrypted; boundary="\\b"',
  'multipart/encrypted; boundary="b "',
  'multipart/encrypted; boundary="b',
  'multipart/encrypted; boundary=b"',
  'multipart/encrypted; boundary=""',
  "multipart/encrypted; boundary=",
  "multipart/encrypted",
  'multipart/encrypted; boundary = "b"',
  'multipart/encrypted; boundary="=?utf-8?q?x?="',
  "multipart/encrypted; name*=utf-8''x; boundary=\"b\"",
  'multipart/encrypted; charset="caf\xe9"; boundary="b"',
  'multipart/encrypted; charset=utf-8; boundary="b"',
  'multipart/encrypted;\n boundary="b"',
  'multipart/encrypted;\n\tprotocol="x";\n boundary="b"',
  'multipart/encrypted; boundary="b\n "',
  'multipart/encrypted;\n \n boundary="b"',
  'multipart/encrypted;\nboundary="b"',
  'multipart/encrypted; boundary="b"\0',
  'multipart/encrypted; boundary="b"\r; boundary=x',
  'multipart/encrypted,multipart/mixed; boundary="b"',
  'multipart /encrypted; boundary="b"',
  'multipart/encrypted/x; boundary="b"',
  'multipart/mixed; boundary="b"',
  'multipart/signed; boundary="b"',
  'multipart/alternative; boundary="b"',
  'text/plain; boundary="b"',
  "message/rfc822",
  "application/octet-stream",
  '\xa0multipart/encrypted; boundary="b"',
  'multipart/encrypted\xa0; boundary="b"',
  '=?utf-8?q?multipart/encrypted?=; boundary="b"',
  'multipart/encrypted; boundary="b"; a=1; b=2; c=""',
  'multipart/encrypted; protocol*0=a; protocol*1=b; boundary="b"',
  "",
  'multipart/encrypted; boundary="b"; boundary',
  'multipart/encrypted; =x; boundary="b"',
  'multipart/encrypted; boundary="b" x',
];

const headerMutations: readonly Mutation[] = [
  [
    "another Content-Type",
    (message, pick) =>
      message.replace(
        /^Content-Type: multipart[^\n]*\n(?:[ \t][^\n]*\n)*/m,
        () =>
          `${one(pick, ["Content-Type", "content-type", "CONTENT-TYPE", "Content-Type ", "Content-type"])}: ${one(
            pick,
            contentTypes,
          )
            .replace(/(?<==['"\\]*)b(?=[ "'\n]|$)/, boundary)
            .replaceAll("\n", "\r\n")}\r\n`,
      ),
  ],
  [
    "a header field",
    (message, pick) =>
      before(
        message.slice(0, message.indexOf("\r\n\r\n")),
        pick,
        /^(?![ \t])/gm,
        one(pick, [
          "Content-Type: text/plain\r\n",
          "Content-Type:\r\n",
          "Content-Type : text/plain\r\n",
          "Content-Transfer-Encoding: base64\r\n",
          "Content-Transfer-Encoding: 8bit\r\n",
          "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 7bit\r\n",
          "Content-Transfer-Encoding:\r\n",
          "Content-Transfer-Encoding: quoted-printable\r\n",
          "Secure-Join: vc-request\r\n",
          "Secure-Join: vg-request\r\n",
          "Secure-Join: vc-request-with-auth\r\n",
          "secure-join:vc-request\r\n",
          "Subject: hello\r\n",
          "From: other@a.test\r\n",
          "MIME-Version: 2.0\r\n",
          "X: a\rb\r\n",
          "X: \0\r\n",
          "X:\r\n \r\n",
          "X: \xff\xfe\r\n",
          " folded\r\n",
          "no field\r\n",
          "\tContent-Type: text/plain\r\n",
          "X: y\r\n \tz\r\n",
          "X:\n y\r\n",
          "X\xe9: y\r\n",
          "Content-Type\0: text/plain\r\n",
          "Content-Disposition: attachment; filename=hello\r\n",
          "Autocrypt: addr=a@b.test; keydata=AAAA\r\n",
        ]),
      ) + message.slice(message.indexOf("\r\n\r\n")),
  ],
  ["a flood of header fields", (message, pick) => `${"X: y\r\n".repeat(pick(1200))}${message}`],
];

const byteMutations: readonly Mutation[] = [
  ["an end", (message, pick) => message.slice(0, pick(message.length + 1))],
  [
    "a character less",
    (message, pick) => {
      const at = pick(message.length);
      return message.slice(0, at) + message.slice(at + 1);
    },
  ],
  [
    "some characters",
    (message, pick) => {
      const at = pick(message.length);
      const text = one(pick, [
        String.fromCharCode(pick(256)),
        "\r\n",
        "\n",
        "\r",
        "\0",
        "=",
        "-",
        "--",
        delimiter,
        `\r\n${delimiter}\r\n`,
        "\r\n\r\n",
        ":",
        ";",
        '"',
        "(",
        ")",
        "\\",
        " ",
        "\t",
        "\xff",
        ".",
      ]);
      return message.slice(0, at) + text + message.slice(at + pick(text.length + 1));
    },
  ],
  [
    "a line less",
    (message, pick) => {
      const lines = message.split("\r\n");
      lines.splice(pick(lines.length), 1);
      return lines.join("\r\n");
    },
  ],
  [
    "a line twice",
    (message, pick) => {
      const lines = message.split("\r\n");
      const at = pick(lines.length);
      lines.splice(at, 0, lines[at]!);
      return lines.join("\r\n");
    },
  ],
  [
    "a line elsewhere",
    (message, pick) => {
      const lines = message.split("\r\n");
      const [line] = lines.splice(pick(lines.length), 1);
      lines.splice(pick(lines.length + 1), 0, line!);
      return lines.join("\r\n");
    },
  ],
];

export const mutations: readonly Mutation[] = [
  ...packetMutations,
  ...armorMutations,
  ...structureMutations,
  ...headerMutations,
  ...byteMutations,
];
