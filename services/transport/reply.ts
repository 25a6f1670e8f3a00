/**
 * What Postfix is told about a message, and what it does then (postfix-master.ts): after a refusal or a delay it tries no
 * other host. Pure. Called by courier.ts and intake.ts.
 */
import type { SmtpReply } from "../lib/smtp-client.ts";

/** Of Postfix's way through several hosts this is the last, or there are others behind: ourselves again, then SMTP. */
export type Behind = "nothing" | "SMTP";

/**
 * Any 4xx makes Postfix try the next host of a way. A delay is therefore told as a refusal, which Postfix's
 * smtp_delivery_status_filter makes a delay again.
 */
export function asWaiting(reply: SmtpReply, behind: Behind): SmtpReply {
  if (behind === "nothing") return reply;
  const text = /^4\.\d{1,3}\.\d{1,3} /.test(reply.text) ? reply.text : `4.0.0 ${reply.text}`;
  return { code: 550, text: `5.3.0 waits: ${text}` };
}

/** Refusals stay what they are; delays see above. */
export function asFinal(reply: SmtpReply, behind: Behind): SmtpReply {
  return reply.code >= 400 && reply.code < 500 ? asWaiting(reply, behind) : reply;
}
