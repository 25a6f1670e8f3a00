/** Where the fuzzer's inputs come from: seeds of each target, changes of what was interesting, and its random source. */
import { encodePacket } from "../../services/milter/protocol.ts";
import { handledMessages, pickDelivery, pickSubmission } from "../services/milter/envelopes.ts";
import { boundary, joinRequest, madeMessages } from "../services/milter/made-messages.ts";
import type { Pick } from "../services/milter/mutation.ts";
import { mutations } from "../services/milter/mutations.ts";
import { readCorpus } from "./corpus.ts";

/** Numbers that are the same for the same seed (xorshift32, Marsaglia 2003). */
export function createPick(seed: number): Pick {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % limit;
  };
}

/** Of Dovecot's dict protocol (services/metadata/protocol.ts). */
const guid = "c854a6148b45016b684d000083ecc375";
const serverKey = `shared/${guid}/vendor/vendor.dovecot/pvt/server/vendor/deltachat/`;
const dictWords = [
  ...["H4\t0\t0\t\tmetadata\n", "B1\tu@_a.test\t0\n", "B2\tu@_a.test\n", "C1\n", "R1\n", "A1\tk\t1\n"],
  ...["T1\t1\t1\n", "V1\t1\n", `S1\tpriv/${guid}/devicetoken\tphone\n`, `U1\tpriv/${guid}/devicetoken\n`],
  ...[
    "S1\tshared/last-login/u@_a.test\t1795245451\n",
    "Ushared/last-login/u@_a.test\n",
    "shared/logins-since",
  ],
  ...[
    `I9\t0\t${serverKey}\tu@_a.test\n`,
    `L${serverKey}turn\tu@_a.test\n`,
    "\x01t",
    "\x01n",
    "\x010",
    "\x01",
  ],
  ...["mail ", "mail a@b.test\n", "I", "16", "64", "1795245451"],
];

/** Texts that mean something to some target. */
const words = [
  ...[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n.\n",
    "\r\n.\r\n",
    "\0",
    " ",
    "\t",
    "\n ",
    ":",
    ";",
    ",",
    "=",
    '"',
    "\\",
    "(",
    ")",
  ],
  ...[
    "<",
    ">",
    "@",
    "[",
    "]",
    ".",
    "-",
    "--",
    "--b",
    "--b--",
    `--${boundary}`,
    `--${boundary}--`,
    "b",
    "boundary=",
    "boundary*=",
    "x",
  ],
  ...[
    "boundary*0=",
    "=?utf-8?q?=3Cc=40d.test=3E?=",
    "multipart/encrypted",
    "text/plain",
    "multipart/mixed",
    "Content-Type: ",
  ],
  ...[
    "Content-Transfer-Encoding: base64\r\n",
    "Secure-Join: vc-request\r\n",
    "Version: 1",
    "application/pgp-encrypted",
  ],
  ...[
    "application/octet-stream",
    "-----BEGIN PGP MESSAGE-----",
    "-----END PGP MESSAGE-----",
    "=AAAA",
    "==",
    "AAAA",
  ],
  ...[
    "\xc1",
    "\xc3",
    "\xd2",
    "\xcb",
    "\xff",
    "\xe0",
    "\xe9",
    "\xc0",
    "\x84",
    "\x03",
    "\x04",
    "\x06",
    "\x01",
    "\x02\x09\x02\x06",
  ],
  ...[
    "a@b.test",
    "<a@b.test>",
    "\xc3\xbc",
    "group:",
    "\x00\x00\x00\x05B",
    "\x00\x10\x00\x00",
    "\x00\x00\x00\x01",
  ],
  ...dictWords,
] as const;

const isMessageTarget = (target: string): boolean => target.endsWith("message");

/** One to four changes of an input, sometimes with a piece of another one. */
export function mutate(target: string, input: string, other: string, pick: Pick): string {
  const pickEnvelope = envelopes.get(target);
  if (pickEnvelope === undefined) return mutateText(target, input, other, pick);
  // A line of envelope and a message: each is changed by what knows it.
  const end = input.indexOf("\n");
  const envelope = pick(3) > 0 ? input.slice(0, end) : pickEnvelope(pick);
  if (pick(10) === 0) return `${change(envelope, other, pick).replaceAll("\n", "")}\n${input.slice(end + 1)}`;
  const message = mutateText("message", input.slice(end + 1), other.slice(other.indexOf("\n") + 1), pick);
  return `${envelope}\n${message}`;
}

/** Makes the envelope line of the targets that have one. */
const envelopes: ReadonlyMap<string, (pick: Pick) => string> = new Map([
  ["submission", pickSubmission],
  ["delivery", pickDelivery],
]);

function mutateText(target: string, input: string, other: string, pick: Pick): string {
  let text = input;
  for (let rounds = 1 + pick(4); rounds > 0; rounds--) {
    text =
      isMessageTarget(target) && pick(3) > 0
        ? mutations[pick(mutations.length)]![1](text, pick)
        : change(text, other, pick);
  }
  return text.length > MAX_INPUT ? text.slice(0, MAX_INPUT) : text;
}

/** Longer inputs reach nothing new and cost time. */
const MAX_INPUT = 40_000;

function change(text: string, other: string, pick: Pick): string {
  const at = pick(text.length + 1);
  const word = words[pick(words.length)]!;
  const span = pick(4) === 0 ? pick(text.length + 1) : pick(4);
  switch (pick(8)) {
    case 0:
      return text.slice(0, at) + word + text.slice(at);
    case 1:
      return text.slice(0, at) + word + text.slice(at + word.length);
    case 2:
      return text.slice(0, at) + text.slice(at + span);
    case 3:
      return text.slice(0, at) + String.fromCharCode(pick(256)) + text.slice(at + 1);
    case 4:
      return text.slice(0, at) + text.slice(at, at + span).repeat(2) + text.slice(at + span);
    case 5:
      return text.slice(0, at) + other.slice(pick(other.length + 1));
    case 6: {
      const code = text.charCodeAt(Math.min(at, Math.max(0, text.length - 1))) || 0;
      return text.slice(0, at) + String.fromCharCode(code ^ (1 << pick(8))) + text.slice(at + 1);
    }
    default: {
      const lines = text.split(/(?<=\n)/);
      const [line = ""] = lines.splice(pick(lines.length), 1);
      lines.splice(pick(lines.length + 1), 0, line);
      return lines.join("");
    }
  }
}

const hello = "H4\t0\t0\t\tmetadata\n";
const dictConversations = [
  `${hello}B1\tu@_a.test\t0\nS1\tpriv/${guid}/devicetoken\tphone\nC1\nLpriv/${guid}/devicetoken\tu@_a.test\n`,
  `${hello}L${serverKey}maxsmtprecipients\tu@_a.test\nI9\t0\t${serverKey}\tu@_a.test\nI1\t1\tpriv/${guid}/\n`,
  `${hello}B1\t\nS1\tshared/last-login/u@_a.test\t1795245451\nC1\nLshared/last-login/u@_a.test\nLshared/logins-since\n`,
  `${hello}B7\tu@_a.test\nU7\tshared/last-login/u@_a.test\nC7\nB7\tu\nA7\tk\t1\nT7\t1\t1\nV7\t1\nR7\nB8\nS8\tk\tv\nC8\n`,
  // What is bounded: transactions at a time, writes in one, tokens of an account.
  hello + Array.from({ length: 17 }, (_, id) => `B${id}\tu\n`).join(""),
  `${hello}B1\tu\n${`S1\tpriv/${guid}/devicetoken\tphone\n`.repeat(65)}C1\nLpriv/${guid}/devicetoken\tu\n`,
  `${hello}B1\tu\n${Array.from({ length: 34 }, (_, id) => `S1\tpriv/${guid}/devicetoken\tphone${id}\n`).join("")}C1\nLpriv/${guid}/devicetoken\tu\n`,
];

/** What each target begins with: plain valid inputs and the corpus. */
export async function seedInputs(): Promise<ReadonlyMap<string, string[]>> {
  const messages = [...(await madeMessages()).values(), joinRequest];
  const handled = await handledMessages();
  const armors = messages.flatMap(
    (message) => /-----BEGIN[\s\S]*END PGP MESSAGE-----\r\n/.exec(message) ?? [],
  );
  const packets = armors.map((armor) =>
    Buffer.from(/\r\n\r\n([A-Za-z0-9+/\r\n]+={0,2})/.exec(armor)![1]!, "base64").toString("latin1"),
  );
  const conversation = [
    encodePacket("O", Buffer.from("00000006000001ff001fffff", "hex")),
    encodePacket("D", Buffer.from("C{daemon_name}\0mx\0j\0mx.test\0")),
    encodePacket("C", Buffer.from("host\x004\x9c\x40192.0.2.1\0", "latin1")),
    encodePacket("M", Buffer.from("<a@b.test>\0SIZE=5\0")),
    encodePacket("R", Buffer.from("<c@d.test>\0")),
    encodePacket("L", Buffer.from("From\0 a@b.test\0")),
    encodePacket("B", Buffer.from("hello\r\n")),
    encodePacket("E"),
    encodePacket("Q"),
  ];
  const seeds = new Map<string, string[]>([
    ["submission", handled.map((message) => `<sender@a.test>\tsender@a.test\t<sender@a.test>\n${message}`)],
    ["delivery", handled.map((message) => `<sender@a.test>\t192.0.2.1\ta.test\n${message}`)],
    ["outgoing message", messages],
    [
      "incoming message",
      messages.map((message) => message.replace("MESSAGE-----\r\n", "MESSAGE-----\r\nVersion: x\r\n")),
    ],
    [
      "multipart",
      [
        "--b\r\nX: y\r\n\r\nhello\r\n--b\r\n\r\nhello\r\n--b--\r\n",
        "preamble\r\n--b\r\n\r\n--b--\r\nepilogue",
      ],
    ],
    ["armor", armors],
    ["packets", packets],
    [
      "from",
      [
        " Alice <a@b.test>",
        ' "Doe, A" <a@b.test>',
        " a@b.test (Alice)",
        " Bob B.\n <a@[192.0.2.1]>",
        " =?utf-8?q?x?= <a@b\xc3\xbc.test>",
      ],
    ],
    [
      "content type",
      [
        'multipart/encrypted; protocol="application/pgp-encrypted";\n\tboundary="b"',
        "text/plain; charset=utf-8;",
      ],
    ],
    ["dict conversation", dictConversations],
    ["news", ["mail a@b.test\nmail C@d.test\n", `mail ${"a".repeat(1100)}\nmail x\n`]],
    ["milter packets", [Buffer.concat(conversation).toString("latin1")]],
  ]);
  for (const { target, input } of readCorpus()) seeds.get(target)?.push(input);
  return seeds;
}
