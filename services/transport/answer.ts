/**
 * What another relay's answer to POST /mxdeliv means for each recipient. Only what is certainly the answer of a relay
 * counts: many web servers say 200 or 404 to anything. Pure. Called by courier.ts.
 */
import type { SmtpReply } from "../lib/smtp-client.ts";

export type Verdict =
  /** A reply for each recipient; everybody who is not in `again` is done. */
  | Readonly<{ kind: "replies"; replies: ReadonlyMap<string, SmtpReply>; again: readonly string[] }>
  /** No relay that takes mail this way. */
  | Readonly<{ kind: "not here"; reason: string }>;

/** A reply is given on in one line; RFC 5321 §4.5.3.1.5 has 512 bytes for one. */
const MAX_TEXT = 400;

const taken: SmtpReply = { code: 250, text: "2.0.0 taken by HTTPS" };

/**
 * 200 with "250" in front: all have it. 400 with a refusal in the words of SMTP: nobody has it, and those whom a line
 * names in `<brackets>` are refused by it. Whoever is not named gets the message in another request (`again`), unless the
 * refusal cannot be about a single one.
 */
export function judgeAnswer(status: number, text: string, recipients: readonly string[]): Verdict {
  if (status === 200 && /^250\b/.test(text)) {
    return { kind: "replies", replies: new Map(recipients.map((one) => [one, taken])), again: [] };
  }
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  const refusals = status === 400 ? lines.map(refusalIn) : [];
  const first = refusals[0];
  if (first === undefined || refusals.includes(undefined)) {
    return { kind: "not here", reason: `HTTP status ${status}` };
  }
  const named = new Map<string, SmtpReply>();
  for (const refusal of refusals as SmtpReply[]) {
    const addresses = [...refusal.text.matchAll(/<([^<>]+)>/g)].map((found) => found[1]!.toLowerCase());
    for (const recipient of recipients) {
      if (!named.has(recipient) && addresses.includes(recipient.toLowerCase())) named.set(recipient, refusal);
    }
  }
  const isAboutAll = named.size === 0 && isAboutMessage(first);
  if (recipients.length === 1 || isAboutAll) {
    return { kind: "replies", replies: new Map(recipients.map((one) => [one, first])), again: [] };
  }
  return { kind: "replies", replies: named, again: recipients.filter((one) => !named.has(one)) };
}

/**
 * Enhanced codes of the message, the sender, the size or the system (RFC 3463 §3.2 to §3.8), not of one recipient: X.1.0
 * to X.1.6 and X.2.z are about mailboxes. 523 is the word for unencrypted mail.
 */
function isAboutMessage({ code, text }: SmtpReply): boolean {
  if (code === 523 || code === 552) return true;
  return /^[45]\.(1\.[789]|[3-7]\.\d+)\b/.test(text);
}

function refusalIn(line: string): SmtpReply | undefined {
  const found = /^([45]\d\d)[ -]:?\s*(.*)$/.exec(line);
  if (found === null) return undefined;
  const text = found[2]!.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_TEXT);
  return { code: Number(found[1]), text: text === "" ? "refused" : text };
}
