/**
 * The way of a message, as a client goes it: login by IMAP, submission with TLS and login, arrival while the mailbox is
 * idle (RFC 2177), reading, deleting. Called by main.ts.
 */
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import type { PrivateKey } from "openpgp";
import { ports } from "../../appliance/layout.ts";
import { type Account, openAccount, openKey, renewAccount } from "./account.ts";
import { type Letter, readLetter, writeLetter } from "./letter.ts";
import { answerMs, deliveryMs, within } from "./limits.ts";
import { Finding, makeRoom, type Steps } from "./steps.ts";

export type MailParts = Readonly<{
  domain: string;
  /** Where the relay is. */
  host: string;
  ports?: Readonly<{ imaps: number; submissions: number }>;
  /** Where account and key are kept. */
  folder: string;
  accountSocket: string;
  /** Instead of the limit of limits.ts. */
  deliveryMs?: number;
  /** Told the canary's address as soon as it is known: it is nobody's to read. */
  onAddress(address: string): void;
  steps: Steps;
}>;

/** What a server's certificate says is a step of its own (doors.ts). */
const tlsOf = (domain: string) => ({ servername: domain, rejectUnauthorized: false });

export async function lookAtMail(parts: MailParts): Promise<void> {
  const { steps } = parts;
  let account: Account | undefined;
  let key: PrivateKey | undefined;
  const inbox = await steps.take("login", async (see) => {
    key = await openKey(parts.folder);
    account = await openAccount(parts.folder, parts.accountSocket);
    parts.onAddress(account.address);
    let client = await openInbox(parts, account);
    if (client === "refused") {
      // Deleted by hand, or the list of accounts is an older one.
      account = await renewAccount(parts.folder, parts.accountSocket);
      parts.onAddress(account.address);
      client = await openInbox(parts, account);
    }
    if (client === "refused") {
      throw new Finding(
        "the mailboxes do not let the canary log in",
        "see `journalctl --unit dovecot --unit homing-auth`",
      );
    }
    see("logged in by IMAP");
    return client;
  });
  if (inbox === undefined || account === undefined || key === undefined) return;
  try {
    await sendAndRead(parts, inbox, account, key);
  } finally {
    await within(answerMs, "the end of IMAP", inbox.logout()).catch(() => inbox.close());
  }
}

async function sendAndRead(
  parts: MailParts,
  inbox: ImapFlow,
  account: Account,
  key: PrivateKey,
): Promise<void> {
  const { steps } = parts;
  const letter = await writeLetter(account.address, key);
  const idle = beginIdle(inbox);
  const isSent = await steps.take("submission", async (see) => {
    await submit(parts, account, letter);
    see("taken by submission over TLS");
    return true;
  });
  if (isSent !== true) return;
  const hasCome = await steps.take("delivery", async (see) => {
    const limitMs = parts.deliveryMs ?? deliveryMs;
    await within(limitMs, "delivery", idle).catch((cause) => {
      throw new Finding(
        `the message was taken, but did not come within ${limitMs / 1000} s`,
        "`mailq` says what it waits for; see `systemctl status homing-courier dovecot`",
        cause,
      );
    });
    see("seen in the idle mailbox");
    return true;
  });
  if (hasCome !== true) return;
  await steps.take("content", async (see) => {
    const mend = "see `journalctl --unit dovecot --unit homing-courier --unit homing-milter`";
    const source = await fetchLetter(inbox, letter).catch((cause: Error) => {
      throw new Finding(`the message cannot be read: ${cause.message}`, mend, cause);
    });
    const content = await readLetter(source, key).catch((cause: Error) => {
      throw new Finding(`the message cannot be decrypted: ${cause.message}`, mend, cause);
    });
    if (content !== letter.content) throw new Finding("the message says something else than was sent", mend);
    see("decrypted, and the same as was sent");
  });
  await steps.take("removal", async (see) => {
    const mend = "see `journalctl --unit dovecot`";
    const left = await within(answerMs, "deleting", empty(inbox)).catch((cause: Error) => {
      throw new Finding(`the message cannot be deleted: ${cause.message}`, mend, cause);
    });
    if (left === 1) throw new Finding("the message is still there after it was deleted", mend);
    if (left > 1) throw new Finding(`${left} messages are still there after they were deleted`, mend);
    see("deleted");
  });
}

/** "refused": the server answers, but does not take the password. @throws Finding */
async function openInbox(parts: MailParts, account: Account): Promise<ImapFlow | "refused"> {
  const { domain, host } = parts;
  const client = new ImapFlow({
    host,
    port: parts.ports?.imaps ?? ports.imaps,
    secure: true,
    auth: { user: account.address, pass: account.password },
    tls: tlsOf(domain),
    logger: false,
    disableAutoIdle: true,
    ...{ connectionTimeout: answerMs, greetingTimeout: answerMs, socketTimeout: deliveryMs + answerMs },
  });
  // Whoever waits for an answer gets the error as well.
  client.on("error", () => {});
  try {
    await within(answerMs, "the login by IMAP", client.connect());
    await within(answerMs, "opening the mailbox", client.mailboxOpen("INBOX"));
    // What an earlier run could not finish.
    await within(answerMs, "emptying the mailbox", empty(client));
    return client;
  } catch (cause) {
    client.close();
    const { authenticationFailed, serverResponseCode, message } = cause as Error & {
      authenticationFailed?: boolean;
      serverResponseCode?: string;
    };
    // RFC 5530: a code says that the account service, not the password, was the trouble.
    if (authenticationFailed === true && serverResponseCode !== "UNAVAILABLE") return "refused";
    throw new Finding(
      `no login by IMAP: ${serverResponseCode ?? message}`,
      authenticationFailed === true
        ? "see `systemctl status homing-auth` and `journalctl --unit dovecot`"
        : "see `systemctl status dovecot` and `journalctl --unit dovecot`",
      cause,
    );
  }
}

/** Resolves when the idle mailbox shows a message more; rejects when the connection ends. */
function beginIdle(inbox: ImapFlow): Promise<void> {
  const seen = new Promise<void>((resolve, reject) => {
    inbox.on("exists", ({ count, prevCount }: { count: number; prevCount: number }) => {
      if (count <= prevCount) return;
      if (inbox.idling) resolve();
      else reject(new Error("the message was not told to the idle mailbox"));
    });
    inbox.on("close", () => reject(new Error("the mailbox closed the connection")));
  });
  // Nobody waits for it when submission failed.
  seen.catch(() => {});
  // Ends with the next command.
  inbox.idle().catch(() => {});
  return seen;
}

async function submit(
  { domain, host, ports: own }: MailParts,
  account: Account,
  { raw }: Letter,
): Promise<void> {
  const transport = createTransport({
    host,
    port: own?.submissions ?? ports.submissions,
    secure: true,
    auth: { user: account.address, pass: account.password },
    tls: tlsOf(domain),
    ...{ connectionTimeout: answerMs, greetingTimeout: answerMs, socketTimeout: answerMs },
  });
  try {
    const envelope = { from: account.address, to: [account.address] };
    await within(2 * answerMs, "submission", transport.sendMail({ envelope, raw }));
  } catch (cause) {
    const error = cause as Error & { code?: string; response?: string };
    throw new Finding(`submission: ${error.response ?? error.message}`, submissionMend(error), cause);
  } finally {
    transport.close();
  }
}

function submissionMend({ code, response = "" }: { code?: string; response?: string }): string {
  // While a milter does not answer, Postfix says so at MAIL, and at AUTH, where IMAP has just let the same password in.
  if (/^4\d\d 4\.7\.1 /.test(response) || (code === "EAUTH" && response.startsWith("454")))
    return "see `systemctl status homing-milter dovecot`";
  if (code === "EAUTH") return "see `systemctl status dovecot homing-auth`";
  if (/^452 /.test(response)) return makeRoom;
  return "see `systemctl status postfix` and `journalctl --unit postfix`";
}

async function fetchLetter(inbox: ImapFlow, { messageId }: Letter): Promise<Buffer> {
  const found = await within(
    answerMs,
    "looking for it",
    inbox.search({ header: { "message-id": messageId } }, { uid: true }),
  );
  const uid = (found || []).at(-1);
  if (uid === undefined) throw new Error("there is a message, but not the one that was sent");
  const fetched = await within(
    answerMs,
    "fetching it",
    inbox.fetchOne(String(uid), { source: true }, { uid: true }),
  );
  if (!fetched || fetched.source === undefined) throw new Error("the server gave no text");
  return fetched.source;
}

/** Deletes all; how many are left. Throws when the server does not tell, as when it is gone: ImapFlow says false to that. */
async function empty(inbox: ImapFlow): Promise<number> {
  await inbox.messageDelete("1:*", { uid: true });
  const told = await inbox.status("INBOX", { messages: true });
  if (!told || told.messages === undefined) throw new Error("the server does not say what is left");
  return told.messages;
}
