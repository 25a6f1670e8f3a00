/** Fills a mailbox to its quota over IMAP, for tests of what comes then. Used by test/relay. */
import type { Account } from "./accounts.ts";
import { openInbox } from "./imap-session.ts";
import type { Relay } from "./relay.ts";

/** The shortest message that any test sends is longer. */
const SHORTEST = 500;

/** Uses up the quota of the account's mailbox, so that not even a short message fits. */
export async function fillMailbox(relay: Relay, account: Account): Promise<void> {
  await using session = await openInbox(relay.address, account.address, account.password);
  for (let size = relay.config.messages.mailboxBytes / 2; size > SHORTEST; ) {
    const text = `Subject: filler\r\n\r\n${"x".repeat(size)}\r\n`;
    const appended = await session.command(`APPEND INBOX {${text.length}+}\r\n${text}`);
    if (appended.status !== "OK") size = Math.floor(size / 2);
  }
}
