/** Strangers who speak SMTP wrongly, on purpose: early talkers, chunks, junk and floods of lines. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { openRaw } from "../support/raw-connection.ts";
import { describeRelays } from "../support/ring.ts";
import type { SmtpReply } from "../support/smtp-reply.ts";
import { openSmtp, type SmtpSession } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const DELIVERY_TIMEOUT = 30_000;

describeRelays("strangers and the dialogue", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const host = () => relay().address;
  let thirdHost: ThirdHost;
  let bob: Account;

  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
    bob = await makeAccount(relay());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const open = async (): Promise<SmtpSession> => {
    const session = await openSmtp({ host: host(), port: 25, name: "_c.test" });
    await session.startTls();
    return session;
  };
  const goodMail = async (to = bob.address) =>
    await signMail(await encryptedMail({ from: STRANGER, to }), thirdHost.key);
  const inbox = async (account: Account): Promise<string[]> => {
    await using session = await openInbox(host(), account.address, account.password);
    return await session.fetchSources();
  };
  /** The proof that a session, and the relay behind it, still work. */
  const expectStillWorking = async (session: SmtpSession) => {
    const carol = await makeAccount(relay());
    await session.command("RSET");
    const sent = await session.send({
      from: STRANGER,
      to: [carol.address],
      source: await goodMail(carol.address),
    });
    expect(sent).toMatchObject({ code: 250 });
  };

  /** Says MAIL, RCPT and DATA. */
  const begin = async (session: SmtpSession, from: string, to: string) => {
    expect(await session.command(`MAIL FROM:<${from}>`)).toMatchObject({ code: 250 });
    expect(await session.command(`RCPT TO:<${to}>`)).toMatchObject({ code: 250 });
    expect(await session.command("DATA")).toMatchObject({ code: 354 });
  };

  describe("chunks", () => {
    it("of a good message arrive as one", async () => {
      const dave = await makeAccount(relay());
      const source = await goodMail(dave.address);
      const cut = Math.floor(source.length / 2);
      await using session = await open();
      await session.command(`MAIL FROM:<${STRANGER}>`);
      await session.command(`RCPT TO:<${dave.address}>`);
      session.write(`BDAT ${cut}\r\n${source.slice(0, cut)}`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      session.write(`BDAT ${source.length - cut}\r\n${source.slice(cut)}BDAT 0 LAST\r\n`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      expect(await session.reply()).toMatchObject({ code: 250 });
      await waitFor("the message", DELIVERY_TIMEOUT, async () => (await inbox(dave)).length === 1);
    });

    it("that are refused are no commands", async () => {
      await using session = await open();
      const content = "NOOP\r\nVRFY root\r\n";
      await session.command(`MAIL FROM:<${STRANGER}>`);
      session.write(`BDAT ${content.length} LAST\r\n${content}`);
      expect(await session.reply()).toMatchObject({ code: 554 });
      expect(await session.command("VRFY x")).toMatchObject({ code: 252 });
    });

    it("of impossible sizes end the conversation", async () => {
      for (const size of ["-1", "99999999999999999999", "0x10", "", "5 FIRST"]) {
        await using session = await open();
        await session.command(`MAIL FROM:<${STRANGER}>`);
        await session.command(`RCPT TO:<${bob.address}>`);
        const { code } = await session.command(`BDAT ${size}`);
        expect(code, size).toBeGreaterThanOrEqual(500);
      }
    });

    it("do not mix with DATA", async () => {
      await using session = await open();
      await session.command(`MAIL FROM:<${STRANGER}>`);
      await session.command(`RCPT TO:<${bob.address}>`);
      session.write("BDAT 6\r\nX: y\r\n");
      expect(await session.reply()).toMatchObject({ code: 250 });
      expect((await session.command("DATA")).code).toBeGreaterThanOrEqual(500);
      await expectStillWorking(session);
    });
  });

  describe("talking out of turn", () => {
    it.each([25, 587])("before the greeting ends the conversation on port %i", async (port) => {
      await using raw = await openRaw({ host: host(), port });
      await raw.write("EHLO early.test\r\nMAIL FROM:<stranger@_c.test>\r\n");
      // On a busy machine the greeting may have been on its way.
      expect(await raw.rest()).toMatch(/^(220 .*\r\n)?554 5\.5\.0 .*\r\n$/);
    });

    it("before the EHLO is answered ends it too: PIPELINING is not offered yet (RFC 2920)", async () => {
      await using raw = await openRaw({ host: host(), port: 25 });
      await raw.until(/^220 /m);
      await raw.write("EHLO early.test\r\nNOOP\r\n");
      expect(await raw.rest()).toMatch(/^554 5\.5\.0 .*\r\n$/m);
    });

    it("with the message right behind DATA ends it, and the message is none", async () => {
      const dave = await makeAccount(relay());
      await using session = await open();
      session.write(
        `MAIL FROM:<${STRANGER}>\r\nRCPT TO:<${dave.address}>\r\nDATA\r\n${await goodMail(dave.address)}.\r\n`,
      );
      expect((await session.reply()).code).toBe(250);
      expect((await session.reply()).code).toBe(250);
      expect((await session.reply()).code).toBeGreaterThanOrEqual(500);
      expect(await inbox(dave)).toEqual([]);
    });
  });

  describe("words that are none", () => {
    it("are answered with 5xx, and the conversation goes on", async () => {
      await using session = await open();
      for (const command of [
        "NO\0OP",
        "MAIL FROM:<stranger\0@_c.test>",
        "MAIL FROM:stranger <stranger@_c.test",
        "MAIL FROM:<stranger@_c.test> BODY=BINARYMIME",
        "MAIL FROM:<stranger\xff@_c.test> SMTPUTF8",
        "MAIL FROM:<stranger@_c.test> SIZE=-1",
        "MAIL FROM:<stranger@_c.test> NOTIFY=x RET=y",
      ]) {
        session.write(`${command}\r\n`);
        expect((await session.reply()).code, command).toBeGreaterThanOrEqual(500);
      }
      await expectStillWorking(session);
    });

    it("end the conversation when they are HTTP, or TLS in the wrong place", async () => {
      for (const command of [
        "GET / HTTP/1.1",
        "POST / HTTP/1.1",
        "CONNECT x:25 HTTP/1.1",
        "\x16\x03\x01\x02",
      ]) {
        await using session = await open();
        expect(await session.command(command)).toMatchObject({ code: 221 });
        await expect(session.command("NOOP")).rejects.toThrow("closed");
      }
    });

    it("end it when there are too many, as do commands to no purpose", async () => {
      /** The code of the last reply before the server has had enough. */
      const lastOf = async (most: number, command: (count: number) => string): Promise<number> => {
        await using session = await open();
        await session.command(`MAIL FROM:<${STRANGER}>`);
        for (let count = 0; count < most; count++) {
          const { code } = await session.command(command(count));
          if (code === 421) return code;
        }
        return 0;
      };
      // Postfix bears 20 errors, the last ten of them a second each, and 100 commands that do nothing.
      const ends = await Promise.all([
        lastOf(30, () => "BOO"),
        lastOf(30, (count) => `RCPT TO:<guess-${count}@_a.test>`),
        lastOf(150, () => "NOOP"),
        lastOf(150, () => "RSET"),
      ]);
      expect(ends).toEqual([421, 421, 421, 421]);
    });
  });

  describe("lines without end", () => {
    it.each([
      ["a command of 1 MB", 1_000_000],
      ["a command of 5000 bytes", 5000],
    ])("as %s cost the conversation, and no more", async (_what, length) => {
      await using raw = await openRaw({ host: host(), port: 25 });
      await raw.until(/^220 /m);
      await raw.write(`EHLO ${"x".repeat(length)}\r\n`);
      // The refusal may be lost, since the server closes with much unread.
      expect(await raw.rest()).not.toMatch(/^250/m);
      await using session = await open();
      await expectStillWorking(session);
    });

    /** The answer to a message with these bytes in front of a good one. */
    const sendBehind = async (session: SmtpSession, front: string): Promise<SmtpReply> => {
      await begin(session, STRANGER, bob.address);
      session.write(`${front}${await goodMail()}\r\n.\r\n`);
      return await session.reply();
    };

    it("as a header of 100 000 fields are refused, and the conversation goes on", async () => {
      await using session = await open();
      const refused = await sendBehind(session, "X-Flood: x\r\n".repeat(100_000));
      expect(refused.code).toBeGreaterThanOrEqual(500);
      await expectStillWorking(session);
    });

    it("as one field of 2 MB are cut short (header_size_limit)", async () => {
      const dave = await makeAccount(relay());
      await using session = await open();
      await begin(session, STRANGER, dave.address);
      session.write(`X-Flood: ${"x".repeat(2_000_000)}\r\n${await goodMail(dave.address)}\r\n.\r\n`);
      expect(await session.reply()).toMatchObject({ code: 250 });
      const [delivered] = await waitFor("the message", DELIVERY_TIMEOUT, async () => {
        const messages = await inbox(dave);
        return messages.length > 0 && messages;
      });
      expect(delivered!.length).toBeLessThan(110_000);
    });

    it("as a From field of 10 000 addresses are refused, and the conversation goes on", async () => {
      await using session = await open();
      const refused = await sendBehind(session, `From: ${"<a@b.test>,\r\n ".repeat(10_000)}<c@d.test>\r\n`);
      expect(refused.code).toBeGreaterThanOrEqual(500);
      await expectStillWorking(session);
    });

    it("as bodies of one line, or of nothing but NUL, are refused, and the conversation goes on", async () => {
      await using session = await open();
      for (const filler of ["x".repeat(2_000_000), "\0".repeat(100_000), "\r".repeat(100_000)]) {
        await begin(session, STRANGER, bob.address);
        session.write(`${await goodMail()}${filler}\r\n.\r\n`);
        expect(await session.reply()).toMatchObject({ code: 523 });
      }
      await expectStillWorking(session);
    });
  });

  it("a listener that the milter has no name for gets its mail deferred", async () => {
    const port = 2525;
    await relay().exec(
      `printf '127.0.0.1:${port} inet n - n - - smtpd -o smtpd_tls_security_level=none\\n' >> /etc/postfix/master.cf && postfix reload`,
    );
    const conversation = ["EHLO x", `MAIL FROM:<${STRANGER}>`, "QUIT"];
    const said = await waitFor("the new listener answers", DELIVERY_TIMEOUT, async () => {
      const nc = `exec 3<>/dev/tcp/127.0.0.1/${port}; read -r line <&3; echo "$line"; for word in ${conversation.map((line) => `'${line}'`).join(" ")}; do printf '%s\\r\\n' "$word" >&3; while read -r line <&3; do echo "$line"; case $line in ???' '*) break;; esac; done; done`;
      const result = await relay().exec(["bash", "-c", nc], { anyExitCode: true });
      return result.stdout.includes("221") && result.stdout;
    });
    expect(said).toMatch(/^451 4\.3\.5/m);
  });

  it("nothing of all this was delivered to the victim", async () => {
    expect(await inbox(bob)).toEqual([]);
  });
});
