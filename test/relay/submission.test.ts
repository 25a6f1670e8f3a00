/** What accounts may send: logins, the envelope, encryption, rates. Every refusal with its code. */
import { connect } from "node:tls";
import { createTransport } from "nodemailer";
import { afterEach, describe, expect, it } from "vitest";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openImap, openInbox } from "../support/imap-session.ts";
import { encryptedMail, plainMail } from "../support/mail.ts";
import { CLIENT_ADDRESS } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const DELIVERY_TIMEOUT = 20_000;
/** Above the burst that the settings allow, below what any pace of sending could make good meanwhile. */
const RATE_TRIES = 40;

describeRelays("submission", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const open = (account: Account) => openSubmission(relay().address, account.address, account.password);
  const mailFor = async (from: string, to: string) => ({
    from,
    to: [to],
    source: await encryptedMail({ from, to }),
  });

  /** Sources of all messages of an account, once there are `count`. */
  const inbox = (account: Account, count: number) =>
    waitFor(`${count} messages for ${account.address}`, DELIVERY_TIMEOUT, async () => {
      await using session = await openInbox(relay().address, account.address, account.password);
      const sources = await session.fetchSources();
      return sources.length >= count && sources;
    });

  it("delivers an encrypted message without a trace of the client's address", async () => {
    const [alice, bob] = [await makeAccount(relay()), await makeAccount(relay())];
    await using session = await open(alice);
    const headers = [`X-Originating-IP: ${CLIENT_ADDRESS}`, "User-Agent: spy/1", "X-Mailer: spy/1"];
    const source = await encryptedMail({ from: alice.address, to: bob.address, headers });
    const sent = await session.send({
      from: alice.address,
      to: [bob.address],
      source: source.replace("Subject: [...]", "Subject: our secret"),
    });
    expect(sent.code).toBe(250);
    const [delivered] = await inbox(bob, 1);
    expect(delivered).toContain("-----BEGIN PGP MESSAGE-----");
    expect(delivered).toContain("Subject: [...]");
    for (const leak of [CLIENT_ADDRESS, "client.test", "spy/1", "our secret", "Received:"]) {
      expect(delivered).not.toContain(leak);
    }
  });

  it("refuses a plain text message with 523", async () => {
    const alice = await makeAccount(relay());
    const transport = createTransport({
      ...{ host: relay().address, port: 465, secure: true, tls: { rejectUnauthorized: false } },
      auth: { user: alice.address, pass: alice.password },
    });
    const sending = transport.sendMail({
      from: alice.address,
      to: alice.address,
      text: "anybody can read this",
    });
    await expect(sending).rejects.toMatchObject({
      responseCode: 523,
      response: expect.stringContaining("Encryption Needed: Invalid Unencrypted Mail"),
    });
  });

  it("goes on in the same session after a refusal", async () => {
    const alice = await makeAccount(relay());
    await using session = await open(alice);
    const plain = plainMail({ from: alice.address, to: alice.address });
    const refused = await session.send({ from: alice.address, to: [alice.address], source: plain });
    expect(refused).toMatchObject({ code: 523 });
    expect((await session.send(await mailFor(alice.address, alice.address))).code).toBe(250);
  });

  it("refuses a forged From with 500", async () => {
    const [alice, bob] = [await makeAccount(relay()), await makeAccount(relay())];
    await using session = await open(alice);
    const source = await encryptedMail({ from: bob.address, to: alice.address });
    const refused = await session.send({ from: alice.address, to: [alice.address], source });
    expect(refused).toMatchObject({ code: 500, text: expect.stringContaining("Invalid FROM") });
  });

  it("refuses an envelope sender that is not the login with 553", async () => {
    const [alice, bob] = [await makeAccount(relay()), await makeAccount(relay())];
    await using session = await open(alice);
    expect(await session.send(await mailFor(bob.address, alice.address))).toMatchObject({ code: 553 });
  });

  it("sends more than the burst only at the permitted rate, with 450 until then", async () => {
    const alice = await makeAccount(relay());
    await using session = await open(alice);
    const mail = await mailFor(alice.address, alice.address);
    let taken = 0;
    let refusal = { code: 0, text: "" };
    for (let i = 0; i < RATE_TRIES && refusal.code === 0; i++) {
      const reply = await session.send(mail);
      if (reply.code === 250) taken++;
      else refusal = reply;
    }
    expect(refusal.code).toBe(450);
    expect(refusal.text).toBe(`4.7.1: Too much mail from ${alice.address}`);
    expect(taken).toBeGreaterThanOrEqual(relay().config.sending.burst);
  });

  it("refuses a message that is too large", async () => {
    const alice = await makeAccount(relay());
    await using session = await open(alice);
    const size = relay().config.messages.maxMessageBytes + 1;
    const refused = await session.command(`MAIL FROM:<${alice.address}> SIZE=${size}`);
    expect(refused).toMatchObject({ code: 552 });
  });

  describe("login", () => {
    it("refuses a wrong password, on SMTP and on IMAP", async () => {
      const alice = await makeAccount(relay());
      await expect(openSubmission(relay().address, alice.address, "not the password")).rejects.toThrow("535");
      await expect(openInbox(relay().address, alice.address, "not the password")).rejects.toThrow("NO");
    });

    it("makes one account of two first logins at once", async () => {
      const account = inventAccount("_a.test");
      const sessions = await Promise.all([
        openInbox(relay().address, account.address, account.password),
        open(account),
        openInbox(relay().address, account.address.toUpperCase(), account.password),
        open(account),
      ]);
      for (const session of sessions) await session[Symbol.asyncDispose]();
      await using again = await openInbox(relay().address, account.address, account.password);
      expect(again.greeting).toContain("OK");
    });

    it.each([
      ["a short password", "shortpass@_a.test", "12345678"],
      ["a name of another length", "long-name-here@_a.test", "long enough password"],
      ["a name with forbidden characters", "name+more@_a.test", "long-enough-password"],
      ["another domain", "nine-char@_b.test", "long-enough-password"],
    ])("makes no account with %s", async (_what, address, password) => {
      await using session = await openSmtp({ host: relay().address, port: 465, implicitTls: true });
      expect(await session.login(address, password)).toMatchObject({ code: 535 });
    });

    it("is not offered without TLS", async () => {
      await using session = await openSmtp({ host: relay().address, port: 587 });
      expect(session.extensions().join()).not.toContain("AUTH");
      const account = inventAccount("_a.test");
      expect((await session.login(account.address, account.password)).code).toBeGreaterThanOrEqual(500);
      await session.startTls();
      expect(session.extensions().join()).toContain("AUTH PLAIN");
      expect((await session.login(account.address, account.password)).code).toBe(235);
    });

    it("is not offered on IMAP without TLS", async () => {
      await using session = await openImap(relay().address, 143, { plain: true });
      expect(session.greeting).toContain("LOGINDISABLED");
      const account = inventAccount("_a.test");
      const login = await session.command(`LOGIN ${account.address} ${account.password}`);
      expect(login.status).toBe("NO");
    });

    it.each([465, 993])("on port %i needs TLS 1.3", async (port) => {
      const handshake = (maxVersion: "TLSv1.2" | "TLSv1.3") =>
        new Promise<string>((resolve) => {
          const options = { host: relay().address, port, maxVersion, rejectUnauthorized: false };
          const socket = connect(options, () => {
            resolve(socket.getProtocol() ?? "");
            socket.destroy();
          });
          socket.once("error", () => resolve("refused"));
        });
      expect(await handshake("TLSv1.2")).toBe("refused");
      expect(await handshake("TLSv1.3")).toBe("TLSv1.3");
    });
  });

  describe("strangers", () => {
    it("cannot send from here without a login", async () => {
      await using session = await openSmtp({ host: relay().address, port: 465, implicitTls: true });
      const refused = await session.send(await mailFor("someone@_a.test", "someone@_c.test"));
      expect(refused.code).toBeGreaterThanOrEqual(500);
    });

    it.each([25, 587])("learn nothing by VRFY on port %i", async (port) => {
      const alice = await makeAccount(relay());
      await using session = await openSmtp({ host: relay().address, port });
      await session.startTls();
      const known = await session.command(`VRFY ${alice.address}`);
      const unknown = await session.command("VRFY nobody-is@_a.test");
      expect(known.code).toBe(252);
      expect(unknown.code).toBe(252);
      expect(known.text.replace(alice.address, "")).toBe(unknown.text.replace("nobody-is@_a.test", ""));
    });
  });

  describe("without the milter", () => {
    const units = ["homing-milter.socket", "homing-milter.service"];
    afterEach(async () => {
      await relay().exec(["systemctl", "start", ...units]);
    });

    it("defers every message, and passes none", async () => {
      const alice = await makeAccount(relay());
      await relay().exec(["systemctl", "stop", ...units]);
      const attempt = async () => {
        await using session = await openSmtp({ host: relay().address, port: 465, implicitTls: true });
        const login = await session.login(alice.address, alice.password);
        return login.code === 235 ? await session.send(await mailFor(alice.address, alice.address)) : login;
      };
      const refused = await attempt();
      expect(refused.code).toBeGreaterThanOrEqual(400);
      expect(refused.code).toBeLessThan(500);
      await relay().exec(["systemctl", "start", ...units]);
      expect((await attempt()).code).toBe(250);
      expect(await inbox(alice, 1)).toHaveLength(1);
    });
  });
});
