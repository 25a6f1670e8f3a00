/** Changes of the MIME structure: boundaries, parts, their headers, line ends. Used by mutations.ts. */
import { boundary } from "./made-messages.ts";
import { before, delimiter, type Mutation, one } from "./mutation.ts";

/** Header and body of a multipart with a readable part and one that looks encrypted. */
function nested(type: string, inner: string): string {
  return [
    `Content-Type: multipart/${type}; boundary="${inner}"`,
    "",
    `--${inner}`,
    "Content-Type: text/plain",
    "",
    "hello",
    `--${inner}`,
    "Content-Type: application/octet-stream",
    "",
    "-----BEGIN PGP MESSAGE-----",
    `--${inner}--`,
  ].join("\r\n");
}

export const structureMutations: readonly Mutation[] = [
  [
    "a line that looks like a boundary",
    (message, pick) =>
      before(
        message,
        pick,
        /^(?!\t)/gm,
        one(pick, [
          delimiter,
          `${delimiter}--`,
          `${delimiter}x`,
          `${delimiter} `,
          `${delimiter}-- `,
          `${delimiter}-`,
          `--${boundary.slice(0, -1)}`,
          `-${delimiter}`,
          ` ${delimiter}`,
          `${delimiter}\0`,
          `${delimiter}\rx`,
          `${delimiter}--\t`,
          `>${delimiter}`,
        ]) + one(pick, ["\r\n", "\n", "\r", "\r\n\r\n"]),
      ),
  ],
  [
    "a part",
    (message, pick) =>
      before(
        message,
        pick,
        new RegExp(`^${delimiter.replace(/[()+?]/g, "\\$&")}`, "gm"),
        [
          delimiter,
          one(pick, [
            ...["", "text/plain", "text/html", "application/octet-stream", "application/pgp-encrypted"].map(
              (type) => (type === "" ? "\r\nhello" : `Content-Type: ${type}\r\n\r\nhello`),
            ),
            nested("mixed", "x"),
            nested("encrypted", "x"),
            // A delimiter of the inner one begins like one of the outer, or the other way round.
            nested("mixed", `${boundary}x`),
            nested("mixed", boundary.slice(0, -1)),
            `Content-Type: message/rfc822\r\n\r\nSubject: hello\r\n${nested("alternative", "x")}`,
          ]),
          "",
        ].join("\r\n"),
      ),
  ],
  [
    "all parts inside one",
    (message, pick) => {
      const outer = one(pick, ["x", `${boundary}x`, boundary.slice(0, -1)]);
      const type = one(pick, ["mixed", "encrypted", "signed", "alternative"]);
      return message.replace(
        /^(Content-Type: multipart[^\n]*\n(?:[ \t][^\n]*\n)*)([\s\S]*?\r\n)?\r\n([\s\S]*)$/m,
        (_whole, inner: string, others: string | undefined, body: string) =>
          `Content-Type: multipart/${type}; boundary="${outer}"\r\n${others ?? ""}\r\n` +
          `--${outer}\r\n${inner}\r\n${body}--${outer}--\r\n`,
      );
    },
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
  [
    "a part less",
    (message, pick) =>
      pick(2) === 0
        ? message.replace(/--=-bound[\s\S]*?(?=--=-bound)/, "")
        : message.replace(/--=-bound(?![\s\S]*?--=-bound[\s\S]*?--=-bound)[\s\S]*?(?=--=-bound)/, ""),
  ],
  ["a part twice", (message) => message.replace(/(--=-bound[\s\S]*?)(?=--=-bound)/, "$1$1")],
  [
    "parts the other way round",
    (message) => message.replace(/(--=-bound[\s\S]*?)(--=-bound[\s\S]*?)(?=--=-bound)/, "$2$1"),
  ],
  [
    "a preamble or an epilogue",
    (message, pick) => {
      const text = one(pick, [
        "This is an encrypted message.",
        "x".repeat(498),
        "x".repeat(500),
        "x".repeat(501),
        "y\r\n".repeat(400),
        "y\r\n".repeat(501),
        "\r\n".repeat(3000),
        "a\0b",
        "a\rb",
        "\x1b[1m",
        "caf\xe9",
        "\t",
        ".",
        "\n.\n",
        "\r\n.\r\nMAIL FROM:<a@b.test>",
        "\r.\r\n",
      ]);
      return pick(2) === 0
        ? message.replace("\r\n\r\n", () => `\r\n\r\n${text}\r\n`)
        : `${message}${text}\r\n`;
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
