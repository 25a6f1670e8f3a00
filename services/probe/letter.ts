/**
 * The canary's message: really encrypted, as clients make it (PGP/MIME, RFC 3156 §4), for the relay takes nothing else.
 * Called by mail.ts; does no I/O.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { createMessage, decrypt, encrypt, type PrivateKey, readMessage } from "openpgp";

export type Letter = Readonly<{
  messageId: string;
  /** With CRLF line ends. */
  raw: string;
  /** What only the canary can read in it. */
  content: string;
}>;

export async function writeLetter(address: string, key: PrivateKey): Promise<Letter> {
  const content = randomBytes(32).toString("hex");
  const armored = await encrypt({
    message: await createMessage({ text: content }),
    encryptionKeys: key.toPublic(),
    signingKeys: key,
    config: { showVersion: false, showComment: false },
  });
  const messageId = `<${randomUUID()}@${address.slice(address.indexOf("@") + 1)}>`;
  const boundary = `b${randomUUID()}`;
  const lines = [
    `From: <${address}>`,
    `To: <${address}>`,
    "Subject: [...]",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${messageId}`,
    "MIME-Version: 1.0",
    'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";',
    `\tboundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: application/pgp-encrypted",
    "",
    "Version: 1",
    "",
    `--${boundary}`,
    'Content-Type: application/octet-stream; name="encrypted.asc"',
    "",
    ...armored.trimEnd().split(/\r?\n/),
    "",
    `--${boundary}--`,
    "",
  ];
  return { messageId, raw: lines.join("\r\n"), content };
}

/** The content of a message as it came back. Throws when there is none, or not of this key. */
export async function readLetter(source: Buffer, key: PrivateKey): Promise<string> {
  const armored = /-----BEGIN PGP MESSAGE-----[\s\S]*?-----END PGP MESSAGE-----/.exec(
    source.toString("latin1"),
  )?.[0];
  if (armored === undefined) throw new Error("the message has no encrypted part");
  const { data, signatures } = await decrypt({
    message: await readMessage({ armoredMessage: armored }),
    decryptionKeys: key,
    verificationKeys: key.toPublic(),
  });
  await signatures[0]?.verified;
  return data;
}
