/** Encrypted messages of an exact size, and sending them byte for byte. Used by ring 2's tests of limits. */
import { randomBytes } from "node:crypto";
import { encryptedMail } from "./mail.ts";
import type { SmtpReply } from "./smtp-reply.ts";
import type { SmtpSession } from "./smtp-session.ts";

/** What openpgp adds to a text in a message: base64 in lines of 60 characters (RFC 9580 §6.2). */
const ARMOR_GROWTH = (4 / 3) * (62 / 60);
/** Header, packets and armor around it, generously. */
const FRAME_BYTES = 3000;

/** An encrypted message of exactly so many bytes as go over the wire before the final dot. */
export async function mailOf(bytes: number, from: string, to: string): Promise<string> {
  const text = randomBytes(Math.floor((bytes - FRAME_BYTES) / ARMOR_GROWTH / 2)).toString("hex");
  return padMail(await encryptedMail({ from, to }, text), bytes);
}

/** The message with fields in front that make up for what it lacks. Throws unless that gives exactly the size. */
export function padMail(mail: string, bytes: number): string {
  const fields: string[] = [];
  // "X-Pad: …CRLF", in fields of 500 to 999 bytes.
  for (let missing = bytes - mail.length; missing > 0; ) {
    const length = missing < 1000 ? missing : 500;
    fields.push(`X-Pad: ${"x".repeat(length - "X-Pad: \r\n".length)}\r\n`);
    missing -= length;
  }
  const padded = fields.join("") + mail;
  if (padded.length !== bytes) throw new Error(`a message of ${mail.length} bytes cannot be one of ${bytes}`);
  return padded;
}

/**
 * MAIL, RCPT and the message as it is, which must end with CRLF and begin no line with a dot: the reply to it.
 * Throws when it is not even asked for.
 */
export async function sendExactly(
  session: SmtpSession,
  from: string,
  to: string,
  source: string,
): Promise<SmtpReply> {
  for (const [line, expected] of [
    [`MAIL FROM:<${from}>`, 250],
    [`RCPT TO:<${to}>`, 250],
    ["DATA", 354],
  ] as const) {
    const { code, text } = await session.command(line);
    if (code !== expected) throw new Error(`${line} was answered ${code} ${text}`);
  }
  session.write(`${source}.\r\n`);
  return await session.reply();
}
