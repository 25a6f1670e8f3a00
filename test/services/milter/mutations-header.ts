/** Changes of the header of a message, its Content-Type above all. Used by mutations.ts. */
import { boundary } from "./made-messages.ts";
import { before, type Mutation, one } from "./mutation.ts";

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

/** From fields that name one address, several or none, depending on who reads them. */
const fromValues = [
  ...[
    "sender@a.test",
    "<SENDER@A.test>",
    "Alice <sender@a.test>",
    '"Doe, A" <sender@a.test>',
    "Alice B. <sender@a.test>",
  ],
  ...[
    "sender@a.test (Alice)",
    "(Alice) <sender@a.test>",
    "<other@a.test>",
    "<sender@b.test>",
    "MAILER-DAEMON@a.test",
  ],
  ...[
    "<sender@a.test>, <other@a.test>",
    "<sender@a.test> <other@a.test>",
    "<sender@a.test>, ",
    ",<sender@a.test>",
  ],
  ...[
    "A: <sender@a.test>;",
    "undisclosed: ;",
    "A: <other@a.test>; <sender@a.test>",
    "<other@a.test:sender@a.test>",
  ],
  ...[
    "=?utf-8?q?Alice?= <sender@a.test>",
    "=?utf-8?q?=3Cother=40a.test=3E?= <sender@a.test>",
    "<=?utf-8?q?sender?=@a.test>",
  ],
  ...['"<other@a.test>" <sender@a.test>', "other@a.test <sender@a.test>", "(<other@a.test>) <sender@a.test>"],
  ...[
    '"sender"@a.test',
    '<"sender"@a.test>',
    "<sender @a.test>",
    "< sender@a.test >",
    "<sender@ a.test>",
    "<sender@a.test",
  ],
  ...[
    "<sender@a.test>x",
    "<<sender@a.test>>",
    "<sender@a.test.>",
    "<sender@[192.0.2.1]>",
    "<sender@[IPv6:2001:db8::1]>",
  ],
  ...[
    "<sender@[192.0.2.2]>",
    "<sender@[x]>",
    "<sender@a.te\xc3\x9ft>",
    "<\xe2\x84\xaaender@a.test>",
    "<sender@a%2etest>",
  ],
  ...[
    "Alice\n <sender@a.test>",
    "\n <sender@a.test>",
    "Alice\r <sender@a.test>",
    "<sender@a.test>\0",
    "<sender@a.test\0>",
  ],
  ...[
    "",
    "<>",
    "@",
    "sender",
    "caf\xe9 <sender@a.test>",
    "\xc3\xbc <sender@a.test>",
    `${"x".repeat(4200)} <sender@a.test>`,
  ],
];

const subjects = [
  ...[
    "Autocrypt Setup Message",
    "Autocrypt setup message",
    "Autocrypt Setup Message ",
    "Autocrypt Setup Message\n x",
  ],
  ...["hello", "", "=?utf-8?q?Autocrypt_Setup_Message?=", "[...]", "a\n b"],
];

/** Fields that a header has once, or that tell about the sender. */
const fieldsAgain = [
  ...[
    "From: <sender@a.test>",
    "from: <other@a.test>",
    "From : <sender@a.test>",
    "Subject: hello",
    "SUBJECT: hello",
  ],
  ...[
    "Subject : hello",
    "Secure-Join: vc-request",
    "Secure-Join: vg-request",
    "Auto-Submitted: auto-replied",
  ],
  ...[
    "Auto-Submitted:",
    "Received: from [192.0.2.7]",
    "received : from phone",
    "X-Originating-IP: [192.0.2.7]",
  ],
  ...["X-Mailer: x", "User-Agent: x\n y", "user-agent:x", "Sender: <other@a.test>", "DKIM-Signature: v=1"],
];

/** The field with another value, or without the field where there is no other. */
const withField = (message: string, name: string, value: string): string =>
  message.replace(
    new RegExp(`^${name}:[^\\n]*\\n(?:[ \\t][^\\n]*\\n)*`, "im"),
    () => `${name}: ${value.replaceAll("\n", "\r\n")}\r\n`,
  );

export const headerMutations: readonly Mutation[] = [
  ["another From", (message, pick) => withField(message, "From", one(pick, fromValues))],
  ["another Subject", (message, pick) => withField(message, "Subject", one(pick, subjects))],
  [
    "another Secure-Join",
    (message, pick) =>
      withField(
        message,
        "Secure-Join",
        one(pick, ["vg-request", "VC-request", "vc-request x", "vc-request\n ", ""]),
      ),
  ],
  [
    "another type",
    (message, pick) =>
      message.replace(/multipart\/(?:encrypted|mixed|report)/, () =>
        one(pick, ["multipart/mixed", "multipart/report", "multipart/encrypted", "Multipart/Report"]),
      ),
  ],
  ["no From", (message) => message.replace(/^From:[^\n]*\n/m, "")],
  [
    "fields again",
    (message, pick) => {
      const fields = Array.from({ length: 1 + pick(3) }, () => `${one(pick, fieldsAgain)}\n`);
      const text = fields.join("").replaceAll("\n", "\r\n");
      // In front, or behind all others.
      return pick(2) === 0 ? text + message : message.replace("\r\n\r\n", () => `\r\n${text}\r\n`);
    },
  ],
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
