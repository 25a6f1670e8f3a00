/** Messages of a byte too much, by every way a message can be said: each limit exactly, and its code. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { mailOf, padMail, sendExactly } from "../support/mail-sizes.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const DELIVERY_TIMEOUT = 60_000;
/** The limit as it is delivered, and one whose messages are quickly made. */
const relays = { "_a.test": {}, "_b.test": { settings: { messages: { maxMessageBytes: 600_000 } } } };

describeRelays("messages and their size", relays, (ring) => {
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

  let thirdHost: ThirdHost;
  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());
  const openFromOutside = async (domain: string) => {
    const session = await openSmtp({ host: ring.relay(domain).address, port: 25 });
    await session.startTls();
    return session;
  };

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

    it("of exactly that size from another server arrives, and one of a byte more is refused", async () => {
      const carol = await makeAccount(ring.relay("_a.test"));
      const roomForSignature = 1000;
      const signed = await signMail(
        await mailOf(limit - roomForSignature, STRANGER, carol.address),
        thirdHost.key,
      );
      // Fields in front of the signature are not signed.
      const exact = padMail(signed, limit);
      await using session = await openFromOutside("_a.test");
      expect(session.extensions()).toContain(`SIZE ${limit}`);
      expect(await sendExactly(session, STRANGER, carol.address, exact)).toMatchObject({ code: 250 });
      await expectDelivered("_a.test", carol, 1);
      const refused = await sendExactly(session, STRANGER, carol.address, `X${exact}`);
      expect(refused).toMatchObject({ code: 552, text: expect.stringMatching(/^5\.3\.4 /) });
      // In chunks, and with a chunk for the last byte alone (RFC 3030).
      for (const last of [limit + 1, 1]) {
        await using inChunks = await openFromOutside("_a.test");
        await inChunks.command(`MAIL FROM:<${STRANGER}>`);
        await inChunks.command(`RCPT TO:<${carol.address}>`);
        const first = limit + 1 - last;
        if (first > 0) {
          inChunks.write(`BDAT ${first}\r\nX${exact.slice(0, first - 1)}`);
          expect(await inChunks.reply()).toMatchObject({ code: 250 });
        }
        inChunks.write(`BDAT ${last} LAST\r\n${`X${exact}`.slice(first)}`);
        expect(await inChunks.reply()).toMatchObject({ code: 552 });
      }
      await expectDelivered("_a.test", carol, 1);
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
    beforeAll(async () => {
      carol = await makeAccount(ring.relay("_b.test"));
      limit = ring.relay("_b.test").config.messages.maxMessageBytes;
    });

    it("from another server is refused, also when it said it was small", async () => {
      await using session = await openFromOutside("_b.test");
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
      await using session = await openFromOutside("_b.test");
      const source = `X${await mailOf(limit, STRANGER, carol.address)}`;
      const cut = 100_000;
      await session.command(`MAIL FROM:<${STRANGER}>`);
      await session.command(`RCPT TO:<${carol.address}>`);
      session.write(`BDAT ${cut}\r\n${source.slice(0, cut)}`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      session.write(`BDAT ${source.length - cut} LAST\r\n${source.slice(cut)}`);
      expect(await session.reply()).toMatchObject({ code: 552 });
    });

    it("stored by its owner is refused, and a byte less is taken (IMAP APPEND)", async () => {
      await using session = await openInboxOf("_b.test", carol);
      const exact = await mailOf(limit, STRANGER, carol.address);
      const append = (source: string) => session.command(`APPEND INBOX {${source.length}+}\r\n${source}`);
      expect((await append(`X${exact}`)).status).toBe("NO");
      expect((await append(exact)).status).toBe("OK");
      await session.command("STORE 1:* +FLAGS.SILENT (\\Deleted)");
      await session.command("EXPUNGE");
    });

    it("less, signed, is taken", async () => {
      await using session = await openFromOutside("_b.test");
      const signatureRoom = 1000;
      const mail = await mailOf(limit - signatureRoom, STRANGER, carol.address);
      const source = await signMail(mail, thirdHost.key);
      expect(await sendExactly(session, STRANGER, carol.address, source)).toMatchObject({ code: 250 });
      await expectDelivered("_b.test", carol, 1);
    });
  });
});
