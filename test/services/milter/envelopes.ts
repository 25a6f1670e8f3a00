/**
 * Envelopes for the handlers' tests: the fields of a submission or a delivery picked at random from what is right and
 * what could be mistaken for it, and the line of text that stands for one in the corpus. Used with handled-message.ts.
 */
import type { Delivery, Signature, Submission } from "./handled-message.ts";
import { joinRequest, madeMessages } from "./made-messages.ts";
import { one, type Pick } from "./mutation.ts";
import { takeApart } from "./whole-message.ts";

const owner = "sender@a.test";

/** The owner's address, and others like it. */
const senders = [
  ...["<sender@a.test>", "<SENDER@A.Test>", "sender@a.test", "<sender@a.test.>", "<>", "", "<sender>", "<@>"],
  ...[
    "<other@a.test>",
    "<sender@b.test>",
    '<"sender"@a.test>',
    "<sender@a.test@b.test>",
    "<\u017fender@a.test>",
  ],
  ...[
    "<<sender@a.test>>",
    " <sender@a.test>",
    "<sender@a.test> ",
    "<@b.test:sender@a.test>",
    "<mailer-daemon@a.test>",
  ],
];
const logins = [owner, "SENDER@a.test", "other@a.test", "", "sender", "sender@a.test."];
const recipients = ["<recipient@b.test>", "<sender@a.test>", "<Sender@A.test>", "<>", "<other@a.test>"];
const clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "::ffff:192.0.2.1", "", "unknown"];
/** Of a delivery: nothing, or the domain it is signed for, with what is wrong about it in front. */
const signatures = ["a.test", "b.test", "!a.test", "?a.test", "sub.a.test", "test", ""];

/** Right two times of three. */
const mostly = (pick: Pick, right: string, all: readonly string[]): string =>
  pick(3) > 0 ? right : one(pick, all);

export function pickSubmission(pick: Pick): string {
  const to = Array.from({ length: 1 + (pick(4) === 0 ? pick(3) : 0) }, () => one(pick, recipients));
  return [mostly(pick, `<${owner}>`, senders), mostly(pick, owner, logins), ...to].join("\t");
}

export function pickDelivery(pick: Pick): string {
  const sender = mostly(pick, `<${owner}>`, senders);
  return [sender, mostly(pick, "192.0.2.1", clients), mostly(pick, "a.test", signatures)].join("\t");
}

export function readSubmission(input: string): Submission {
  const [[sender = "", login = "", ...to], message] = divideInput(input);
  return { sender, login, recipients: to, message: takeApart(Buffer.from(message, "latin1")) };
}

export function readDelivery(input: string): Delivery {
  const [[sender = "", client = "", signature = ""], message] = divideInput(input);
  return {
    sender,
    client,
    signature: readSignature(signature),
    message: takeApart(Buffer.from(message, "latin1")),
  };
}

function readSignature(text: string): Signature | null {
  // Others could not stand in a tag of the signature.
  const [, mark, domain] = /^([!?]?)((?:[a-z0-9]{1,20}\.){0,3}[a-z]{1,10})$/.exec(text) ?? [];
  if (domain === undefined) return null;
  return { domain, kind: mark === "!" ? "broken" : mark === "?" ? "without an answer" : "good" };
}

/** The envelope's pieces and the message. */
function divideInput(input: string): [string[], string] {
  const end = input.indexOf("\n");
  const line = end < 0 ? input : input.slice(0, end);
  return [line.replace(/\r$/, "").split("\t"), end < 0 ? "" : input.slice(end + 1)];
}

const parts = (type: string, header: readonly string[], body: string) =>
  [...header, "MIME-Version: 1.0", `Content-Type: ${type}; boundary="b"`, "", "--b", body, "--b--", ""].join(
    "\r\n",
  );

/** Every kind of message that may pass in some envelope, and a plain one. */
export async function handledMessages(): Promise<readonly string[]> {
  const setup = parts(
    "multipart/mixed",
    [`From: <${owner}>`, "Subject: Autocrypt Setup Message", "Autocrypt-Setup-Message: v1"],
    "Content-Type: application/autocrypt-setup\r\n\r\nhello",
  );
  const report = parts(
    "multipart/report; report-type=delivery-status",
    [
      "From: Mail Delivery System <MAILER-DAEMON@a.test>",
      "Auto-Submitted: auto-replied",
      "Subject: Undelivered",
    ],
    "Content-Type: text/plain\r\n\r\nhello",
  );
  const plain = `From: <${owner}>\r\nSubject: hello\r\n\r\nhello\r\n`;
  return [...(await madeMessages()).values(), joinRequest, setup, report, plain];
}
