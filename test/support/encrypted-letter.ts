/**
 * One really encrypted message through a relay, end to end, by ordinary mail libraries: written by
 * mail.ts, sent with nodemailer, read with imapflow, taken apart with mailparser, decrypted again. Used by ring 3.
 */
import { ImapFlow } from "imapflow";
import { simpleParser } from "mailparser";
import { createTransport } from "nodemailer";
import { decrypt, generateKey, type PrivateKey, type PublicKey, readMessage } from "openpgp";
import type { Account } from "./accounts.ts";
import { encryptedMail } from "./mail.ts";
import { waitFor } from "./wait.ts";

export type MailPorts = Readonly<{ imaps: number; submissions: number }>;
export type KeyPair = Readonly<{ publicKey: PublicKey; privateKey: PrivateKey }>;

/** A machine without acceleration takes seconds for what takes milliseconds elsewhere. */
const TIMEOUT = 120_000;
const host = "127.0.0.1";
/** Nobody can have a certificate for 127.0.0.1. */
const tls = { rejectUnauthorized: false };

export async function makeKeyPair(address: string): Promise<KeyPair> {
  return await generateKey({ userIDs: [{ email: address }], format: "object" });
}

/** Logs in to IMAP, runs `use` with INBOX open and logs out. */
export async function withInbox<T>(
  ports: MailPorts,
  { address, password }: Account,
  use: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = new ImapFlow({
    host,
    port: ports.imaps,
    secure: true,
    auth: { user: address, pass: password },
    tls,
    logger: false,
    connectionTimeout: TIMEOUT,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
  });
  // imapflow's own message is only "Command failed".
  const explain = (what: string) => (error: Error & { responseText?: string }) => {
    throw new Error(`${address}: ${what}: ${error.responseText ?? error.message}`, { cause: error });
  };
  await client.connect().catch(explain("cannot log in"));
  const lock = await client.getMailboxLock("INBOX").catch(explain("cannot open INBOX"));
  try {
    return await use(client);
  } finally {
    lock.release();
    await client.logout();
  }
}

/** Sends `text` from one account to an address, encrypted to `key`. */
export async function sendEncrypted(
  ports: MailPorts,
  { address, password }: Account,
  to: string,
  key: PublicKey,
  text: string,
): Promise<void> {
  const raw = await encryptedMail({ from: address, to }, text, key);
  const transport = createTransport({
    host,
    port: ports.submissions,
    secure: true,
    auth: { user: address, pass: password },
    tls,
    connectionTimeout: TIMEOUT,
    greetingTimeout: TIMEOUT,
    socketTimeout: TIMEOUT,
  });
  try {
    await transport.sendMail({ envelope: { from: address, to: [to] }, raw });
  } finally {
    transport.close();
  }
}

/** Waits for the first message of the account's INBOX and returns its decrypted text. */
export async function readEncrypted(ports: MailPorts, account: Account, key: PrivateKey): Promise<string> {
  const source = await withInbox(ports, account, (client) =>
    waitFor(`a message for ${account.address}`, TIMEOUT, async () => {
      await client.noop();
      const message = await client.fetchOne("*", { source: true });
      return message ? message.source?.toString() : undefined;
    }),
  );
  const encrypted = (await simpleParser(source)).attachments.at(-1);
  if (encrypted?.contentType !== "application/octet-stream") {
    throw new Error(`the message has no encrypted part:\n${source}`);
  }
  const armoredMessage = encrypted.content.toString();
  const { data } = await decrypt({ message: await readMessage({ armoredMessage }), decryptionKeys: key });
  return String(data);
}
