/**
 * Strangers who hide a second message in a message, behind what some server takes for the end of the first
 * ("SMTP smuggling"): on its way in, and on its way out to a server that would fall for it.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const VICTIM = "victim@_c.test";
const DELIVERY_TIMEOUT = 30_000;

/** What some mail server somewhere takes for the end of a message; only CRLF.CRLF is (RFC 5321 §4.1.1.4). */
const falseEnds = {
  "LF.LF": "\n.\n",
  "LF.CRLF": "\n.\r\n",
  "CRLF.LF": "\r\n.\n",
  "CR.CR": "\r.\r",
  "CR.CRLF": "\r.\r\n",
  "CRLF.CR": "\r\n.\r",
  "LF.CR": "\n.\r",
  "CR.LF": "\r.\n",
  "CRCRLF.CRCRLF": "\r\r\n.\r\r\n",
  "NUL after CRLF": "\r\n\0.\r\n",
  "NUL after the dot": "\r\n.\0\r\n",
  "a space before the dot": "\r\n .\r\n",
  "a dot that is stuffed": "\r\n..\r\n",
} as const;

describeRelays("strangers and the end of a message", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const host = () => relay().address;
  let thirdHost: ThirdHost;

  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const open = async (): Promise<SmtpSession> => {
    const session = await openSmtp({ host: host(), port: 25, name: "_c.test" });
    await session.startTls();
    return session;
  };
  const goodMail = async (to: string) =>
    await signMail(await encryptedMail({ from: STRANGER, to }), thirdHost.key);
  const inbox = async (account: Account): Promise<string[]> => {
    await using session = await openInbox(host(), account.address, account.password);
    return await session.fetchSources();
  };
  /** Says MAIL, RCPT and DATA. */
  const begin = async (session: SmtpSession, from: string, to: string) => {
    expect(await session.command(`MAIL FROM:<${from}>`)).toMatchObject({ code: 250 });
    expect(await session.command(`RCPT TO:<${to}>`)).toMatchObject({ code: 250 });
    expect(await session.command("DATA")).toMatchObject({ code: 354 });
  };

  describe("a message smuggled in another", () => {
    it.each(Object.entries(falseEnds))("by %s stays a part of it on its way in", async (_name, end) => {
      const dave = await makeAccount(relay());
      const [first, second] = [await goodMail(dave.address), await goodMail(dave.address)];
      await using session = await open();
      await begin(session, STRANGER, dave.address);
      // Both would be taken by themselves: as one, the encrypted message has too much behind it.
      session.write(
        `${first.trimEnd()}${end}MAIL FROM:<${STRANGER}>\r\nRCPT TO:<${dave.address}>\r\nDATA\r\n${second}\r\n.\r\n`,
      );
      expect(await session.reply()).toMatchObject({ code: 523 });
      // One message has one answer: the next one is this command's.
      expect(await session.command("VRFY x")).toMatchObject({ code: 252 });
      expect(await inbox(dave)).toEqual([]);
    });

    it.each(Object.entries(falseEnds))(
      "by %s is not passed on to a server that would fall for it",
      async (name, end) => {
        const alice = await makeAccount(relay());
        await using session = await openSubmission(host(), alice.address, alice.password);
        const good = await encryptedMail({ from: alice.address, to: VICTIM });
        const smuggled = `MAIL FROM:<root@_a.test>\r\nRCPT TO:<${VICTIM}>\r\nDATA\r\nSubject: boo\r\n\r\nboo`;
        const before = thirdHost.sink.received().length;
        await begin(session, alice.address, VICTIM);
        // A little text behind the parts may stand there, so what carries it is good mail; NUL never is.
        session.write(`${good}behind${end}${smuggled}\r\n.\r\n`);
        const isTaken = !end.includes("\0");
        expect(await session.reply()).toMatchObject({ code: isTaken ? 250 : 523 });
        // By the time this one is there, the other server has dealt with the one before.
        const last = await encryptedMail({ from: alice.address, to: VICTIM });
        const sent = await session.send({ from: alice.address, to: [VICTIM], source: last });
        expect(sent).toMatchObject({ code: 250 });
        const messageId = /^Message-ID: .*$/m;
        await thirdHost.sink.waitForMail(`the message behind the one with ${name}`, ({ source }) =>
          source.includes(messageId.exec(last)![0]),
        );
        const carriers = await waitFor("the message that carried it", DELIVERY_TIMEOUT, () => {
          const found = thirdHost.sink
            .received()
            .filter(({ source }) => source.includes(messageId.exec(good)![0]));
          return found.length === (isTaken ? 1 : 0) && found;
        });
        expect(thirdHost.sink.received()).toHaveLength(before + carriers.length + 1);
        for (const carrier of carriers) {
          expect(carrier).toMatchObject({ from: alice.address, to: [VICTIM] });
          expect(carrier.source).not.toMatch(/\r(?!\n)|(?<!\r)\n/);
          // All that was to be a message of its own is text of this one.
          expect(carrier.source).toContain(smuggled);
        }
      },
    );

    it("by chunks stays a part of it (RFC 3030)", async () => {
      const dave = await makeAccount(relay());
      const [first, second] = [await goodMail(dave.address), await goodMail(dave.address)];
      const whole = `${first.trimEnd()}\r\n.\r\nMAIL FROM:<${STRANGER}>\r\nRCPT TO:<${dave.address}>\r\nDATA\r\n${second}\r\n.\r\n`;
      await using session = await open();
      await session.command(`MAIL FROM:<${STRANGER}>`);
      await session.command(`RCPT TO:<${dave.address}>`);
      session.write(`BDAT ${whole.length} LAST\r\n${whole}`);
      expect(await session.reply()).toMatchObject({ code: 523 });
      expect(await session.command("VRFY x")).toMatchObject({ code: 252 });
      expect(await inbox(dave)).toEqual([]);
    });
  });
});
