/** Changes of the armor in a message and of its base64. Used by mutations.ts. */
import { type Mutation, one } from "./mutation.ts";

export const armorMutations: readonly Mutation[] = [
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
  [
    "another last character",
    (message, pick) =>
      message.replace(/.(?==*\r\n(?:=....\r\n)?-----END)/, () => one(pick, ["B", "h", "p", "/"])),
  ],
  ["two armors", (message) => message.replace(/(-----BEGIN[\s\S]*END PGP MESSAGE-----\r\n)/, "$1$1")],
  [
    "other lines of base64",
    (message, pick) => {
      const width = 1 + pick(1100);
      return message.replace(/(?<=MESSAGE-----\r\n\r\n)[A-Za-z0-9+/\r\n]+/, (lines) => {
        const cut = lines.replace(/\r\n/g, "").match(new RegExp(`.{1,${width}}`, "g")) ?? [];
        return cut.join("\r\n") + (lines.endsWith("\n") ? "\r\n" : "");
      });
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
