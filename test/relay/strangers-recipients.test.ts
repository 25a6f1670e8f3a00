/**
 * Messages to too many: real names, one unlike the other, from accounts and from other servers. Those up to the
 * limit are taken and get the message, the rest is refused with the code that asks for another message
 * (RFC 5321 §4.5.3.1.10), and guessing names costs the conversation.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const DELIVERY_TIMEOUT = 60_000;
/** Few enough that more accounts than that are quickly made. */
const FEW = 40;
/** Names that nobody has that Postfix bears in one conversation (smtpd_hard_error_limit). */
const MAX_ERRORS = 20;
const relays = {
  "_a.test": { settings: { sending: { perMinute: 6000, burst: 2000 } } },
  "_b.test": { settings: { messages: { maxRecipients: FEW } } },
};

describeRelays("too many recipients", relays, (ring) => {
  let thirdHost: ThirdHost;
  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const openFromOutside = async () => {
    const session = await openSmtp({ host: ring.relay("_b.test").address, port: 25 });
    await session.startTls();
    return session;
  };
  const messagesOf = async (domain: string, { address, password }: Account) => {
    await using session = await openInbox(ring.relay(domain).address, address, password);
    return (await session.fetchSources()).length;
  };

  /** The answers to RCPT, code and status, as long as the server gives any. */
  const answersTo = async (session: SmtpSession, recipients: readonly string[]): Promise<string[]> => {
    const answers: string[] = [];
    const batch = 100;
    for (let first = 0; first < recipients.length; first += batch) {
      const some = recipients.slice(first, first + batch);
      session.write(some.map((to) => `RCPT TO:<${to}>\r\n`).join(""));
      for (const _recipient of some) {
        const { code, text } = await session.reply();
        answers.push(`${code} ${text.slice(0, 5)}`);
        if (code === 421) return answers;
      }
    }
    return answers;
  };
  const repeat = (answer: string, count: number) => Array<string>(count).fill(answer);

  it("of 2000 at another server the first 1000 get an account's message, and the others are refused", async () => {
    const relay = ring.relay("_a.test");
    const { maxRecipients } = relay.config.messages;
    expect(maxRecipients).toBe(1000);
    const alice = await makeAccount(relay);
    const names = Array.from({ length: 2 * maxRecipients }, (_, number) => `friend-${number}@_c.test`);
    await using session = await openSubmission(relay.address, alice.address, alice.password);
    await session.command(`MAIL FROM:<${alice.address}>`);
    expect(await answersTo(session, names)).toEqual([
      ...repeat("250 2.1.5", maxRecipients),
      ...repeat("452 4.5.3", maxRecipients),
    ]);
    expect(await session.command("DATA")).toMatchObject({ code: 354 });
    const source = await encryptedMail({ from: alice.address, to: alice.address });
    session.write(`${source}.\r\n`);
    expect(await session.reply()).toMatchObject({ code: 250 });
    const reached = await waitFor("the message for all of them", DELIVERY_TIMEOUT, () => {
      const recipients = thirdHost.sink.received().flatMap(({ to }) => to);
      return recipients.length >= maxRecipients && recipients;
    });
    // Each once, and no other.
    expect([...reached].sort()).toEqual(names.slice(0, maxRecipients).sort());
    const next = await session.send({ from: alice.address, to: [alice.address], source });
    expect(next).toMatchObject({ code: 250 });
  });

  it("of more accounts than the limit the first get another server's message, and the others are refused", async () => {
    const relay = ring.relay("_b.test");
    const accounts: Account[] = [];
    while (accounts.length < FEW + 10) accounts.push(await makeAccount(relay));
    await using session = await openFromOutside();
    await session.command(`MAIL FROM:<${STRANGER}>`);
    const names = accounts.map(({ address }) => address);
    expect(await answersTo(session, names)).toEqual([
      ...repeat("250 2.1.5", FEW),
      ...repeat("452 4.5.3", 10),
    ]);
    expect(await session.command("DATA")).toMatchObject({ code: 354 });
    const source = await signMail(await encryptedMail({ from: STRANGER, to: names[0]! }), thirdHost.key);
    session.write(`${source}.\r\n`);
    expect(await session.reply()).toMatchObject({ code: 250 });
    const expected = accounts.map((_account, number) => (number < FEW ? 1 : 0));
    await waitFor("the message for all who were taken, and nobody else", DELIVERY_TIMEOUT, async () => {
      const found: number[] = [];
      for (const account of accounts) found.push(await messagesOf("_b.test", account));
      return found.join() === expected.join();
    });
  });

  it("of 2000 names that nobody has another server may ask for a few, and others are not held up", async () => {
    const relay = ring.relay("_b.test");
    const [alice, bob] = [await makeAccount(relay), await makeAccount(relay)];
    const guesses = Array.from({ length: 2000 }, (_, number) => `g${10_000_000 + number}@_b.test`);
    await using guessing = await openFromOutside();
    await guessing.command(`MAIL FROM:<${STRANGER}>`);
    const before = await answersTo(guessing, [alice.address, ...guesses.slice(0, 5)]);
    await using other = await openFromOutside();
    const source = await signMail(await encryptedMail({ from: STRANGER, to: bob.address }), thirdHost.key);
    expect(await other.send({ from: STRANGER, to: [bob.address], source })).toMatchObject({ code: 250 });
    // The last ten that are answered wait a second each.
    const answers = [...before, ...(await answersTo(guessing, guesses.slice(5)))];
    expect(answers).toEqual(["250 2.1.5", ...repeat("550 5.1.1", MAX_ERRORS), "421 4.7.0"]);
    await waitFor("the other's message", DELIVERY_TIMEOUT, async () => {
      return (await messagesOf("_b.test", bob)) === 1;
    });
    expect(await messagesOf("_b.test", alice)).toBe(0);
  });
});
