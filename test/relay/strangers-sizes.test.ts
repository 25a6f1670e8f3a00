/** Too much at once: bytes, recipients, mail for one account. Each limit exactly, its code, and nobody else feels it. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpReply, type SmtpSession } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const DELIVERY_TIMEOUT = 60_000;
const sending = { perMinute: 6000, burst: 1000 };
/** Small enough to be filled by a handful of messages. */
const bombed = { messages: { mailboxBytes: 2_000_000, maxMessageBytes: 600_000 }, sending };
const relays = { "_a.test": { settings: { sending } }, "_b.test": { settings: bombed } };

/** What openpgp adds to a text in a message: base64 in lines of 60 characters (RFC 9580 §6.2). */
const ARMOR_GROWTH = (4 / 3) * (62 / 60);
/** Header, packets and armor around it, generously. */
const FRAME_BYTES = 3000;

/** An encrypted message of exactly so many bytes as go over the wire before the final dot. */
async function mailOf(bytes: number, from: string, to: string): Promise<string> {
  const text = randomBytes(Math.floor((bytes - FRAME_BYTES) / ARMOR_GROWTH / 2)).toString("hex");
  const mail = await encryptedMail({ from, to }, text);
  const fields: string[] = [];
  // "X-Pad: …CRLF" makes up for what is missing, in fields of 500 to 999 bytes.
  for (let missing = bytes - mail.length; missing > 0; ) {
    const length = missing < 1000 ? missing : 500;
    fields.push(`X-Pad: ${"x".repeat(length - "X-Pad: \r\n".length)}\r\n`);
    missing -= length;
  }
  const padded = fields.join("") + mail;
  expect(padded).toHaveLength(bytes);
  return padded;
}

/** MAIL, RCPT and the message as it is, which must end with CRLF and begin no line with a dot. */
async function sendExactly(
  session: SmtpSession,
  from: string,
  to: string,
  source: string,
): Promise<SmtpReply> {
  expect(await session.command(`MAIL FROM:<${from}>`)).toMatchObject({ code: 250 });
  expect(await session.command(`RCPT TO:<${to}>`)).toMatchObject({ code: 250 });
  expect(await session.command("DATA")).toMatchObject({ code: 354 });
  session.write(`${source}.\r\n`);
  return await session.reply();
}

describeRelays("too much at once", relays, (ring) => {
  const open = (domain: string, account: Account) =>
    openSubmission(ring.relay(domain).address, account.address, account.password);
  const openInboxOf = (domain: string, account: Account) =>
    openInbox(ring.relay(domain).address, account.address, account.password);
  const expectDelivered = (domain: string, account: Account, count: number) =>
    waitFor(`${count} messages for ${account.address}`, DELIVERY_TIMEOUT, async () => {
      await using session = await openInboxOf(domain, account);
      const { untagged } = await session.command("STATUS INBOX (MESSAGES)");
      return untagged.some((line) => line.includes(`MESSAGES ${count})`));
    });

  describe("a message", () => {
    let alice: Account;
    let bob: Account;
    let limit: number;
    beforeAll(async () => {
      alice = await makeAccount(ring.relay("_a.test"));
      bob = await makeAccount(ring.relay("_a.test"));
      limit = ring.relay("_a.test").config.messages.maxMessageBytes;
    });

    it("of exactly the size that is announced arrives whole, and one of a byte more is refused", async () => {
      await using session = await open("_a.test", alice);
      expect(session.extensions()).toContain(`SIZE ${limit}`);
      const exact = await mailOf(limit, alice.address, bob.address);
      expect(await sendExactly(session, alice.address, bob.address, exact)).toMatchObject({ code: 250 });
      await expectDelivered("_a.test", bob, 1);
      await using receiving = await openInboxOf("_a.test", bob);
      const { untagged } = await receiving.command("FETCH 1 (RFC822.SIZE)");
      // The relay's fields come on top: a signature and where it was delivered to.
      expect(Number(/RFC822\.SIZE (\d+)/.exec(untagged.join())?.[1])).toBeGreaterThanOrEqual(limit);
      const more = `X${exact}`;
      const refused = await sendExactly(session, alice.address, bob.address, more);
      expect(refused).toMatchObject({ code: 552, text: expect.stringMatching(/^5\.3\.4 /) });
      const small = await encryptedMail({ from: alice.address, to: bob.address });
      const next = await session.send({ from: alice.address, to: [bob.address], source: small });
      expect(next).toMatchObject({ code: 250 });
      await expectDelivered("_a.test", bob, 2);
    });

    it("that says it is too large is refused before it is sent", async () => {
      await using session = await open("_a.test", alice);
      for (const size of [limit + 1, "9".repeat(30)]) {
        const { code } = await session.command(`MAIL FROM:<${alice.address}> SIZE=${size}`);
        expect(code, `${size}`).toBe(552);
      }
      const fits = await session.command(`MAIL FROM:<${alice.address}> SIZE=${limit}`);
      expect(fits).toMatchObject({ code: 250 });
    });
  });

  describe("a message of a byte too much", () => {
    let carol: Account;
    let limit: number;
    let thirdHost: ThirdHost;
    beforeAll(async () => {
      thirdHost = await openThirdHost(ring.network());
      carol = await makeAccount(ring.relay("_b.test"));
      limit = ring.relay("_b.test").config.messages.maxMessageBytes;
    });
    afterAll(() => thirdHost?.[Symbol.asyncDispose]());
    const openFromOutside = async () => {
      const session = await openSmtp({ host: ring.relay("_b.test").address, port: 25 });
      await session.startTls();
      return session;
    };

    it("from another server is refused, also when it said it was small", async () => {
      await using session = await openFromOutside();
      const source = `X${await mailOf(limit, STRANGER, carol.address)}`;
      for (const parameter of ["", " SIZE=100"]) {
        await session.command(`MAIL FROM:<${STRANGER}>${parameter}`);
        await session.command(`RCPT TO:<${carol.address}>`);
        await session.command("DATA");
        session.write(`${source}.\r\n`);
        expect(await session.reply()).toMatchObject({ code: 552 });
      }
    });

    it("in chunks is refused (RFC 3030)", async () => {
      await using session = await openFromOutside();
      const source = `X${await mailOf(limit, STRANGER, carol.address)}`;
      const cut = 100_000;
      await session.command(`MAIL FROM:<${STRANGER}>`);
      await session.command(`RCPT TO:<${carol.address}>`);
      session.write(`BDAT ${cut}\r\n${source.slice(0, cut)}`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      session.write(`BDAT ${source.length - cut} LAST\r\n${source.slice(cut)}`);
      expect(await session.reply()).toMatchObject({ code: 552 });
    });

    it("less, signed, is taken", async () => {
      await using session = await openFromOutside();
      const signatureRoom = 1000;
      const mail = await mailOf(limit - signatureRoom, STRANGER, carol.address);
      const source = await signMail(mail, thirdHost.key);
      expect(await sendExactly(session, STRANGER, carol.address, source)).toMatchObject({ code: 250 });
      await expectDelivered("_b.test", carol, 1);
    });
  });

  describe("2000 recipients", () => {
    /** Replies to RCPT, counted by code and status. */
    const countReplies = async (session: SmtpSession, recipients: readonly string[]) => {
      const counts: Record<string, number> = {};
      const batch = 100;
      for (let first = 0; first < recipients.length; first += batch) {
        const some = recipients.slice(first, first + batch);
        session.write(some.map((to) => `RCPT TO:<${to}>\r\n`).join(""));
        for (const _recipient of some) {
          const { code, text } = await session.reply();
          const key = `${code} ${text.slice(0, 5)}`;
          counts[key] = (counts[key] ?? 0) + 1;
        }
      }
      return counts;
    };

    it("of an account's message are 1000 too many, which is said, and the message goes to the others", async () => {
      const relay = ring.relay("_a.test");
      const [sender, receiver] = [await makeAccount(relay), await makeAccount(relay)];
      await using session = await open("_a.test", sender);
      await session.command(`MAIL FROM:<${sender.address}>`);
      const counts = await countReplies(session, Array<string>(2000).fill(receiver.address));
      expect(counts).toEqual({ "250 2.1.5": 1000, "452 4.5.3": 1000 });
      expect(await session.command("DATA")).toMatchObject({ code: 354 });
      const source = await encryptedMail({ from: sender.address, to: receiver.address });
      session.write(`${source}.\r\n`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      await expectDelivered("_a.test", receiver, 1);
      const next = await session.send({ from: sender.address, to: [receiver.address], source });
      expect(next).toMatchObject({ code: 250 });
    });
  });

  describe("a mail bomb", () => {
    it("fills its victim's mailbox to the quota and no further, comes back, and hinders nobody", async () => {
      const relay = ring.relay("_b.test");
      const { mailboxBytes, maxMessageBytes } = relay.config.messages;
      const [bomber, victim, other] = [
        await makeAccount(relay),
        await makeAccount(relay),
        await makeAccount(relay),
      ];
      const bomb = await mailOf(maxMessageBytes, bomber.address, victim.address);
      const fitting = Math.floor(mailboxBytes / maxMessageBytes);
      const bombs = Math.ceil((2 * mailboxBytes) / maxMessageBytes);
      await using session = await open("_b.test", bomber);
      const outcome = (status: string) =>
        relay.logEntries(new RegExp(`to=<${victim.address}>.*status=${status}`));
      for (let count = 1; count <= bombs; count++) {
        const sent = await sendExactly(session, bomber.address, victim.address, bomb);
        expect(sent).toMatchObject({ code: 250 });
        // One after the other: messages that are delivered at the same moment do not see each other's size.
        await waitFor("the bomb is delivered or sent back", DELIVERY_TIMEOUT, async () => {
          return (await outcome("(sent|bounced)")).length === count;
        });
      }
      const source = await encryptedMail({ from: bomber.address, to: other.address });
      expect(await session.send({ from: bomber.address, to: [other.address], source })).toMatchObject({
        code: 250,
      });
      await expectDelivered("_b.test", other, 1);
      const refused = await outcome("bounced.* 552 5\\.2\\.2 ");
      expect(refused).toHaveLength(bombs - fitting);
      await using inbox = await openInboxOf("_b.test", victim);
      const { untagged } = await inbox.command("GETQUOTAROOT INBOX");
      const usedKibibytes = Number(/STORAGE (\d+) /.exec(untagged.join())?.[1]);
      expect(usedKibibytes).toBeGreaterThan(0);
      expect(usedKibibytes * 1024).toBeLessThanOrEqual(mailboxBytes);
      await expectDelivered("_b.test", bomber, refused.length);
    });
  });
});
