/** Mail from elsewhere, on port 25: signatures, encryption, recipients, and the bounces that go back. */
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DnsRecord, dkimPublicKey, relayRecords } from "../../appliance/dns/records.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { fillMailbox } from "../support/full-mailbox.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, makeSigningKey, plainMail, type SigningKey, signMail } from "../support/mail.ts";
import { CLIENT_ADDRESS } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import type { SmtpReply } from "../support/smtp-reply.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { openThirdHost, THIRD_DOMAIN, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const DELIVERY_TIMEOUT = 30_000;
const STRANGER = "stranger@_c.test";

/** The smallest quota that can be set, quick to fill. */
const mailboxBytes = 1_000_000;
const relays = {
  "_a.test": { settings: { messages: { mailboxBytes, maxMessageBytes: mailboxBytes } } },
  "_b.test": {},
};

describeRelays("mail from elsewhere", relays, (ring) => {
  const otherKey = makeSigningKey("_c.test", "one");
  let key: SigningKey;
  let thirdHost: ThirdHost;
  let alice: Account;

  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
    key = thirdHost.key;
    alice = await makeAccount(ring.relay("_a.test"));
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const offer = async (mail: {
    from?: string;
    to?: string;
    source: string;
    tls?: boolean;
  }): Promise<SmtpReply> => {
    await using session = await openSmtp({ host: ring.relay("_a.test").address, port: 25, name: "_c.test" });
    if (mail.tls ?? true) await session.startTls();
    return await session.send({
      from: mail.from ?? STRANGER,
      to: [mail.to ?? alice.address],
      source: mail.source,
    });
  };
  const inbox = (account: Account, domain: string, count: number) =>
    waitFor(`${count} messages for ${account.address}`, DELIVERY_TIMEOUT, async () => {
      await using session = await openInbox(ring.relay(domain).address, account.address, account.password);
      const sources = await session.fetchSources();
      return sources.length >= count && sources;
    });

  it("takes an encrypted message with an aligned signature, and keeps no trace of its way", async () => {
    const bob = await makeAccount(ring.relay("_a.test"));
    const source = await signMail(await encryptedMail({ from: STRANGER, to: bob.address }), key);
    expect((await offer({ to: bob.address, source })).code).toBe(250);
    const [delivered] = await inbox(bob, "_a.test", 1);
    for (const trace of ["Received:", "DKIM-Signature:", "Authentication-Results:", CLIENT_ADDRESS]) {
      expect(delivered).not.toContain(trace);
    }
  });

  it("refuses a message without a signature", async () => {
    const source = await encryptedMail({ from: STRANGER, to: alice.address });
    expect(await offer({ source })).toEqual({ code: 554, text: "5.7.1 No DKIM signature found" });
  });

  it("refuses a signature that the domain's key does not confirm", async () => {
    const source = await signMail(await encryptedMail({ from: STRANGER, to: alice.address }), otherKey);
    expect(await offer({ source })).toEqual({ code: 554, text: "5.7.1 No valid DKIM signature found" });
  });

  it("defers a message whose key cannot be asked for", async () => {
    const unseen = { ...key, selector: "unseen" };
    const source = await signMail(await encryptedMail({ from: STRANGER, to: alice.address }), unseen);
    await ring.network().dns.stop();
    const deferred = await offer({ source });
    await ring.network().publish([]);
    expect(deferred).toEqual({ code: 451, text: "4.4.3 DKIM key lookup failed, try again later" });
    // The relay asks again once it has forgotten that nobody answered.
    await waitFor(
      "an answer about the key",
      DELIVERY_TIMEOUT,
      async () => (await offer({ source })).code === 554,
    );
  });

  it("takes a message whose key comes late, and tells Postfix meanwhile that it is at work", async () => {
    const relay = ring.relay("_a.test");
    const late = makeSigningKey(THIRD_DOMAIN, "late");
    const dkim = [{ selector: late.selector, publicKey: dkimPublicKey(late.privateKeyPem) }];
    const isKey = ({ name }: DnsRecord) => name === `${late.selector}._domainkey.${THIRD_DOMAIN}`;
    await ring.network().publish(relayRecords({ domain: THIRD_DOMAIN, dkim }).filter(isKey));
    // Postfix's cleanup, which reads what the milter answers to a message, writes it down.
    const setting = "cleanup/unix/command";
    const usual = (await relay.exec(["postconf", "-F", "-h", setting])).stdout.trim();
    const setCommand = async (changed: string) => {
      await relay.exec(["postconf", "-F", `${setting} = ${changed}`]);
      await relay.exec(["postfix", "reload"]);
    };
    await setCommand(`${usual} -v`);
    const source = await signMail(await encryptedMail({ from: STRANGER, to: alice.address }), late);
    await using session = await openSmtp({ host: relay.address, port: 25, name: THIRD_DOMAIN });
    await session.startTls();
    for (const command of [`MAIL FROM:<${STRANGER}>`, `RCPT TO:<${alice.address}>`]) {
      expect(await session.command(command)).toMatchObject({ code: 250 });
    }
    expect(await session.command("DATA")).toMatchObject({ code: 354 });
    ring.network().dns.pause();
    try {
      session.write(`${source}.\r\n`);
      await waitFor("the milter says that it is at work", DELIVERY_TIMEOUT, async () => {
        return (await relay.logEntries(/SMFIR_PROGRESS/)).length > 0;
      });
    } finally {
      ring.network().dns.resume();
    }
    expect(await session.reply()).toMatchObject({ code: 250 });
    await setCommand(usual);
  });

  it("refuses a message that was changed after it was signed", async () => {
    const source = await signMail(await encryptedMail({ from: STRANGER, to: alice.address }), key);
    const changed = source.replace(/^Date: .*$/m, "Date: Thu, 01 Jan 1970 00:00:00 +0000");
    expect(await offer({ source: changed })).toMatchObject({ code: 554 });
  });

  it("refuses a good signature of a domain that is not the sender's", async () => {
    const source = await signMail(await encryptedMail({ from: "someone@_b.test", to: alice.address }), key);
    expect(await offer({ from: "someone@_b.test", source })).toMatchObject({ code: 554 });
  });

  it("refuses plain text, however well it is signed", async () => {
    const source = await signMail(plainMail({ from: STRANGER, to: alice.address }), key);
    expect(await offer({ source })).toMatchObject({
      code: 523,
      text: expect.stringContaining("Encryption Needed"),
    });
  });

  it("refuses unknown recipients with 550 5.1.1", async () => {
    const to = "nobody-is@_a.test";
    const source = await signMail(await encryptedMail({ from: STRANGER, to }), key);
    expect(await offer({ to, source })).toMatchObject({ code: 550, text: expect.stringMatching(/^5\.1\.1/) });
    for (const name of ["postmaster@_a.test", "postmaster", "MAILER-DAEMON@_a.test"]) {
      expect(await offer({ to: name, source }), name).toMatchObject({ code: 550 });
    }
  });

  it("is no open relay", async () => {
    const to = "victim@_b.test";
    const source = await signMail(await encryptedMail({ from: STRANGER, to }), key);
    const refused = await offer({ to, source });
    expect(refused.code).toBe(554);
    for (const trick of ["victim%_b.test@_a.test", "@_a.test:victim@_b.test", '"victim@_b.test"@_a.test']) {
      expect((await offer({ to: trick, source })).code, trick).toBeGreaterThanOrEqual(500);
    }
  });

  it("is taken over TLS only, and nobody logs in there", async () => {
    await using session = await openSmtp({ host: ring.relay("_a.test").address, port: 25 });
    expect((await session.command(`MAIL FROM:<${STRANGER}>`)).code).toBe(530);
    await session.startTls();
    expect(session.extensions().join()).not.toContain("AUTH");
  });

  it.each([
    ["TLSv1.1", false],
    ["TLSv1.2", true],
    ["TLSv1.3", true],
  ] as const)("with %s is taken: %s", async (version, taken) => {
    await using session = await openSmtp({ host: ring.relay("_a.test").address, port: 25 });
    // At its usual security level our own side would not even try the old version.
    const ciphers = "DEFAULT@SECLEVEL=0";
    const attempt = session.startTls({ minVersion: version, maxVersion: version, ciphers });
    if (taken) await attempt;
    else await expect(attempt).rejects.toThrow("alert");
  });

  it("comes back as a signed bounce when the mailbox is full", async () => {
    const relay = ring.relay("_a.test");
    const full = await makeAccount(relay);
    await fillMailbox(relay, full);
    const source = await signMail(await encryptedMail({ from: STRANGER, to: full.address }), key);
    expect((await offer({ to: full.address, source })).code).toBe(250);
    const bounce = await thirdHost.sink.waitForMail("a bounce at the third host", (mail) =>
      mail.to.includes(STRANGER),
    );
    expect(bounce.from).toBe("");
    expect(bounce.tls).toBe(true);
    const checked = await dkimVerify(bounce.source);
    const signatures = checked.results.map(
      ({ signingDomain, status }) => `${signingDomain} ${status.result}`,
    );
    expect(signatures).toEqual(["_a.test pass"]);
  });

  it("an unknown recipient at the other relay comes back to the sender as a bounce", async () => {
    const sender = await makeAccount(ring.relay("_a.test"));
    await using session = await openSubmission(
      ring.relay("_a.test").address,
      sender.address,
      sender.password,
    );
    const to = "nobody-is@_b.test";
    const source = await encryptedMail({ from: sender.address, to });
    expect((await session.send({ from: sender.address, to: [to], source })).code).toBe(250);
    const [bounce] = await inbox(sender, "_a.test", 1);
    expect(bounce).toMatch(/^From: .*mailer-daemon@_a\.test/im);
    expect(bounce).toMatch(/^Status: 5\.1\.1/m);
    expect(bounce).not.toContain(CLIENT_ADDRESS);
  });
});
