/** Strangers who want mail carried for them, or under somebody else's name: open-relay tricks and forged senders. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, plainMail, signMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import type { SmtpReply } from "../support/smtp-reply.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const DELIVERY_TIMEOUT = 30_000;
/** Refused commands a session may have before Postfix slows it down (smtpd_soft_error_limit). */
const REFUSALS_PER_SESSION = 9;

/** Ways to write an address elsewhere, so that one careless program takes it for one of its own. */
const foreignRecipients = [
  "victim@_c.test",
  "victim@_C.TEST",
  "victim@_c.test.",
  '"victim@_c.test"',
  '"victim"@_c.test',
  // The percent hack and the bang path (RFC 1123 §5.2.16), source routes (RFC 5321 Appendix C).
  "victim%_c.test",
  "victim%_c.test@_a.test",
  '"victim%_c.test"@_a.test',
  "_c.test!victim",
  "_c.test!victim@_a.test",
  "@_a.test:victim@_c.test",
  "@_a.test,@_a.test:victim@_c.test",
  "victim@_c.test@_a.test",
  "victim@_a.test@_c.test",
  '"victim@_c.test"@_a.test',
  "victim\\@_c.test@_a.test",
  "victim@_c.test (comment)@_a.test",
  "victim@_c.test\0@_a.test",
  // The third host and the relay as address literals (RFC 5321 §4.1.3).
  "victim@[10.77.0.254]",
  "victim@10.77.0.254",
  "victim@[IPv6:::ffff:10.77.0.254]",
  "victim%_c.test@[10.77.0.11]",
  "victim@_c.test@[10.77.0.11]",
  "victim@sub._a.test",
  "victim@_a.test._c.test",
  "victim@localhost",
];

/** Names that some mail server once delivered to, or ran. */
const localRecipients = [
  "root",
  "root@localhost",
  "root@[127.0.0.1]",
  "root@[10.77.0.11]",
  "postmaster",
  '"postmaster"',
  "@_a.test:postmaster",
  "(comment)postmaster",
  "post\\master",
  '"postmaster"@_a.test',
  "postmaster@_a.test.",
  "postmaster@[10.77.0.11]",
  "MAILER-DAEMON",
  "|/bin/sh@_a.test",
  '"|/bin/sh -c id"@_a.test',
  "/etc/passwd@_a.test",
  '":include:/etc/passwd"@_a.test',
];

describeRelays("strangers and mail for others", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let thirdHost: ThirdHost;
  let alice: Account;
  let bob: Account;

  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
    alice = await makeAccount(relay());
    bob = await makeAccount(relay());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  /** A session as the port wants it, over TLS. */
  const open = async (port: number): Promise<SmtpSession> => {
    const session = await openSmtp({ host: relay().address, port, implicitTls: port === 465 });
    if (port !== 465) await session.startTls();
    return session;
  };

  /** The answers to RCPT for each recipient, after a MAIL that the port takes. */
  const answers = async (port: number, sender: string, recipients: readonly string[]): Promise<string[]> => {
    const found: string[] = [];
    for (let first = 0; first < recipients.length; first += REFUSALS_PER_SESSION) {
      await using session = await open(port);
      expect(await session.command(`MAIL FROM:<${sender}>`)).toMatchObject({ code: 250 });
      for (const recipient of recipients.slice(first, first + REFUSALS_PER_SESSION)) {
        found.push(`${recipient}: ${(await session.command(`RCPT TO:<${recipient}>`)).code}`);
      }
    }
    return found;
  };

  const inbox = async (account: Account): Promise<string[]> => {
    await using session = await openInbox(relay().address, account.address, account.password);
    return await session.fetchSources();
  };

  describe("open relay", () => {
    it.each([
      ["a foreign sender", () => STRANGER],
      ["the null sender", () => ""],
      ["one of our accounts as sender", () => alice.address],
      ["a sender of our domain that does not exist", () => "nobody-is@_a.test"],
      ["our postmaster as sender", () => "postmaster"],
      ["a local program as sender", () => "root@localhost"],
    ])("takes no recipient elsewhere from %s, however it is written", async (_who, sender) => {
      for (const answer of await answers(25, sender(), foreignRecipients)) expect(answer).toMatch(/: 5\d\d$/);
    });

    it("takes no name that is no account, nor a program, nor a file", async () => {
      for (const answer of await answers(25, STRANGER, localRecipients)) expect(answer).toMatch(/: 55\d$/);
    });

    it("takes an account's own address in any case, or else nobody could write to it", async () => {
      const [name] = alice.address.split("@");
      const spellings = [alice.address, `${name!.toUpperCase()}@_A.TEST`];
      expect(await answers(25, STRANGER, spellings)).toEqual(spellings.map((spelling) => `${spelling}: 250`));
    });

    it.each([465, 587])("takes nothing on port %i before the login", async (port) => {
      for (const sender of [STRANGER, "", alice.address]) {
        await using session = await open(port);
        const source = await encryptedMail({ from: sender || STRANGER, to: bob.address });
        for (const to of [bob.address, "victim@_c.test", "victim%_c.test@_a.test"]) {
          const { code } = await session.send({ from: sender, to: [to], source });
          expect(code, `${sender} to ${to}`).toBeGreaterThanOrEqual(500);
        }
      }
    });

    it.each([25, 465, 587])(
      "on port %i nobody passes for somebody else by XCLIENT or XFORWARD",
      async (port) => {
        await using session = await open(port);
        expect(session.extensions().join("\n")).not.toMatch(/^(XCLIENT|XFORWARD)/m);
        for (const command of [
          "XCLIENT ADDR=127.0.0.1",
          `XCLIENT ADDR=127.0.0.1 LOGIN=${alice.address}`,
          "XFORWARD ADDR=127.0.0.1 NAME=localhost",
        ]) {
          expect((await session.command(command)).code, command).toBe(550);
        }
      },
    );

    it.each([25, 465, 587])("on port %i nobody starts deliveries or asks for lists", async (port) => {
      await using session = await open(port);
      for (const command of ["ETRN _c.test", "ETRN #x", "TURN", "ATRN _c.test", "EXPN postmaster"]) {
        expect((await session.command(command)).code, command).toBeGreaterThanOrEqual(400);
      }
    });
  });

  describe("a forged sender from outside", () => {
    /** A message with this envelope sender and these fields, signed by the third host where it can be. */
    const offer = async (mail: { sender: string; from: string; headers?: string[]; source?: string }) => {
      const { sender, from, headers } = mail;
      const source =
        mail.source ?? (await encryptedMail({ from, to: bob.address, ...(headers && { headers }) }));
      await using session = await open(25);
      return await session.send({
        from: sender,
        to: [bob.address],
        source: await signMail(source, thirdHost.key),
      });
    };

    it("is refused when From names an account of ours, whatever the envelope says", async () => {
      for (const sender of [alice.address, STRANGER, "", `"${alice.address}"@_c.test`]) {
        expect(await offer({ sender, from: alice.address }), sender).toMatchObject({ code: 554 });
      }
    });

    it("is refused when From holds one of ours beside the stranger, in every spelling", async () => {
      const ours = alice.address;
      for (const from of [
        `${ours}>, <${STRANGER}`,
        `${STRANGER}>, <${ours}`,
        `${ours}>\r\nFrom: <${STRANGER}`,
        `${STRANGER}>\r\nFrom: <${ours}`,
        `${STRANGER}>\r\nfrom : <${ours}`,
        `${ours}>:<${STRANGER}`,
      ]) {
        const { code } = await offer({ sender: STRANGER, from });
        expect(code, from).toBeGreaterThanOrEqual(500);
      }
    });

    it("is refused for a report of ours that somebody else wrote, readable as reports are", async () => {
      const from = "mailer-daemon@_a.test";
      const headers = ["Auto-Submitted: auto-replied"];
      const plain = plainMail({ from, to: bob.address, headers }, "log in at the address below");
      const source = plain.replace(/^Content-Type: .*$/m, "Content-Type: multipart/report; boundary=b");
      expect(source).toContain("multipart/report");
      for (const sender of ["", from]) expect((await offer({ sender, from, source })).code).toBe(554);
    });

    it("gets no bounces for an envelope sender of ours that From does not confirm", async () => {
      const carol = await makeAccount(relay());
      await using session = await open(25);
      const source = await encryptedMail({ from: STRANGER, to: carol.address });
      const sent = await session.send({
        from: alice.address,
        to: [carol.address],
        source: await signMail(source, thirdHost.key),
      });
      expect(sent).toMatchObject({ code: 250 });
      const [delivered] = await waitFor("the message", DELIVERY_TIMEOUT, async () => {
        const messages = await inbox(carol);
        return messages.length > 0 && messages;
      });
      expect(delivered).toMatch(/^Return-Path: <>/m);
    });

    it("reached nobody", async () => {
      expect(await inbox(bob)).toEqual([]);
    });
  });

  describe("a forged sender from an account", () => {
    const refusal = async (sender: string, from: string): Promise<SmtpReply> => {
      await using session = await openSubmission(relay().address, alice.address, alice.password);
      const source = await encryptedMail({ from, to: bob.address });
      return await session.send({ from: sender, to: [bob.address], source });
    };

    it("is refused in the envelope", async () => {
      const [name] = alice.address.split("@");
      for (const sender of [
        bob.address,
        "",
        "postmaster@_a.test",
        "mailer-daemon@_a.test",
        STRANGER,
        `${name}@_b.test`,
        `${name}@[10.77.0.11]`,
        `@_c.test:${bob.address}`,
        `${alice.address}@_c.test`,
        `"${alice.address}"@_c.test`,
        `${name}+tag@_a.test`,
      ]) {
        expect((await refusal(sender, alice.address)).code, sender).toBeGreaterThanOrEqual(500);
      }
    });

    it("is refused in the header", async () => {
      for (const from of [
        bob.address,
        `${alice.address}>, <${bob.address}`,
        `${bob.address}>, <${alice.address}`,
        `${alice.address}>\r\nFrom: <${bob.address}`,
        `${bob.address}>\r\nFrom: <${alice.address}`,
        "mailer-daemon@_a.test",
        "",
      ]) {
        expect((await refusal(alice.address, from)).code, from).toBeGreaterThanOrEqual(500);
      }
    });

    it("is refused as an identity asked for at the login (RFC 4616)", async () => {
      for (const port of [465, 587]) {
        await using session = await open(port);
        const secret = Buffer.from(`${bob.address}\0${alice.address}\0${alice.password}`).toString("base64");
        expect((await session.command(`AUTH PLAIN ${secret}`)).code).toBe(535);
      }
    });

    it("is refused in the name of the account by AUTH= or by a login of no one", async () => {
      await using session = await open(465);
      const nobody = inventAccount("_a.test");
      expect((await session.command("AUTH ANONYMOUS")).code).toBe(535);
      expect((await session.command("AUTH EXTERNAL =")).code).toBe(535);
      const trusted = await session.command(`MAIL FROM:<${nobody.address}> AUTH=${nobody.address}`);
      expect(trusted.code).toBeGreaterThanOrEqual(500);
    });

    it("reached nobody", async () => {
      expect(await inbox(bob)).toEqual([]);
    });
  });

  it("nothing was carried for a stranger, and nothing waits to be", async () => {
    const queue = await relay().exec(["postqueue", "-j"]);
    expect(queue.stdout).toBe("");
    expect(thirdHost.sink.received()).toEqual([]);
  });
});
