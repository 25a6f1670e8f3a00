/**
 * Messages for tests: really encrypted ones as a chatmail client makes them (PGP/MIME, RFC 3156 §4),
 * plain ones, and their DKIM signatures. Line ends are CRLF.
 */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { createMessage, encrypt, generateKey, type PublicKey } from "openpgp";

export type Envelope = Readonly<{
  from: string;
  to: string;
  /** Further header lines, each without its line end. */
  headers?: readonly string[];
}>;

let recipientKey: ReturnType<typeof makeKey> | undefined;

async function makeKey() {
  const { publicKey } = await generateKey({
    userIDs: [{ email: "recipient@client.test" }],
    format: "object",
  });
  return publicKey;
}

/**
 * An encrypted message as the relays demand it; `text` is what only the owner of `key` could read, by default
 * nobody.
 */
export async function encryptedMail(envelope: Envelope, text = "hello", key?: PublicKey): Promise<string> {
  if (key === undefined) recipientKey ??= makeKey();
  const armored = await encrypt({
    message: await createMessage({ text }),
    encryptionKeys: key ?? (await recipientKey),
    config: { showVersion: false, showComment: false },
  });
  const boundary = `b${randomUUID()}`;
  return [...headerLines(envelope), ...encryptedLines(armored as string, boundary)].join("\r\n");
}

/** From the Content-Type of an encrypted message to its end, as clients make it. */
export function encryptedLines(armored: string, boundary: string): string[] {
  return [
    `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";`,
    `\tboundary="${boundary}"`,
    "",
    `--${boundary}`,
    "Content-Type: application/pgp-encrypted",
    "",
    "Version: 1",
    "",
    `--${boundary}`,
    `Content-Type: application/octet-stream; name="encrypted.asc"`,
    "Content-Transfer-Encoding: 7bit",
    "",
    ...armored.trimEnd().split(/\r?\n/),
    "",
    `--${boundary}--`,
    "",
  ];
}

/** A message anybody could read. */
export function plainMail(envelope: Envelope, text = "hello"): string {
  return [...headerLines(envelope), "Content-Type: text/plain; charset=utf-8", "", text, ""].join("\r\n");
}

function headerLines({ from, to, headers = [] }: Envelope): string[] {
  return [
    `From: <${from}>`,
    `To: <${to}>`,
    "Subject: [...]",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${randomUUID()}@${from.slice(from.indexOf("@") + 1)}>`,
    "MIME-Version: 1.0",
    ...headers,
  ];
}

export type SigningKey = Readonly<{ domain: string; selector: string; privateKeyPem: string }>;

/** A DKIM key for a domain that is no relay. */
export function makeSigningKey(domain: string, selector: string): SigningKey {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    domain,
    selector,
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

/** The message with a DKIM signature in front (RFC 6376). */
export async function signMail(source: string, key: SigningKey): Promise<string> {
  const signature = {
    signingDomain: key.domain,
    selector: key.selector,
    privateKey: Buffer.from(key.privateKeyPem),
  };
  // mailauth's types ask for the fields in the options themselves, its code reads them in signatureData.
  const { signatures, errors } = await dkimSign(source, { ...signature, signatureData: [signature] });
  if (errors.length > 0) throw new Error(`signing failed: ${JSON.stringify(errors)}`);
  return `${signatures}${source}`;
}
