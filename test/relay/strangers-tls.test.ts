/** The door's lock: no password before TLS, no old TLS, no weak ciphers, nothing slipped in before a handshake. */
import type { SecureVersion } from "node:tls";
import { beforeAll, describe, expect, it } from "vitest";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openImap } from "../support/imap-session.ts";
import { openForTls, openRaw } from "../support/raw-connection.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp } from "../support/smtp-session.ts";

/** Our own side has to be talked into old versions before it can ask for them. */
const ANY_CIPHER = "DEFAULT:@SECLEVEL=0";
const plainSecret = ({ address, password }: Account) =>
  Buffer.from(`\0${address}\0${password}`).toString("base64");

describeRelays("strangers and TLS", { "_a.test": {} }, (ring) => {
  const host = () => ring.relay("_a.test").address;
  let alice: Account;

  beforeAll(async () => {
    alice = await makeAccount(ring.relay("_a.test"));
  });

  /** Whether port 25 knows the address: what an account is to the outside. */
  const isAccount = async ({ address }: Account): Promise<boolean> => {
    await using session = await openSmtp({ host: host(), port: 25 });
    await session.startTls();
    await session.command("MAIL FROM:<stranger@_c.test>");
    return (await session.command(`RCPT TO:<${address}>`)).code === 250;
  };

  describe("no password before TLS", () => {
    it("is asked for on port 587, and none that is told makes an account", async () => {
      const account = inventAccount("_a.test");
      for (const command of [
        `AUTH PLAIN ${plainSecret(account)}`,
        `AUTH PLAIN ${plainSecret(alice)}`,
        "AUTH PLAIN",
        "AUTH LOGIN",
        `AUTH LOGIN ${Buffer.from(account.address).toString("base64")}`,
      ]) {
        await using session = await openSmtp({ host: host(), port: 587 });
        expect(session.extensions().join("\n")).not.toContain("AUTH");
        // Not 334: that would be the invitation to say it.
        expect((await session.command(command)).code, command).toBeGreaterThanOrEqual(500);
      }
      expect(await isAccount(account)).toBe(false);
    });

    it("is asked for on port 143, and none that is told makes an account", async () => {
      const account = inventAccount("_a.test");
      for (const command of [
        `LOGIN ${account.address} ${account.password}`,
        `LOGIN ${alice.address} ${alice.password}`,
        `AUTHENTICATE PLAIN ${plainSecret(account)}`,
        "AUTHENTICATE PLAIN",
        "AUTHENTICATE LOGIN",
      ]) {
        await using session = await openImap(host(), 143, { plain: true });
        expect(session.greeting).toContain("LOGINDISABLED");
        expect(session.greeting).not.toContain("AUTH=");
        expect(await session.command(command), command).toMatchObject({ status: "NO" });
      }
      expect(await isAccount(account)).toBe(false);
    });

    it("is never asked for on port 25, with TLS or without", async () => {
      await using session = await openSmtp({ host: host(), port: 25 });
      const attempt = async () => {
        expect(session.extensions().join("\n")).not.toContain("AUTH");
        for (const command of [`AUTH PLAIN ${plainSecret(alice)}`, "AUTH PLAIN", "AUTH LOGIN"]) {
          expect((await session.command(command)).code, command).toBeGreaterThanOrEqual(500);
        }
      };
      await attempt();
      await session.startTls();
      await attempt();
    });

    it("and no mail either", async () => {
      for (const port of [25, 587]) {
        await using session = await openSmtp({ host: host(), port });
        expect(session.extensions()).toContain("STARTTLS");
        for (const command of ["MAIL FROM:<stranger@_c.test>", "VRFY x", "DATA", "BDAT 3 LAST"]) {
          expect((await session.command(command)).code, `${port} ${command}`).toBe(530);
        }
      }
    });
  });

  describe("versions", () => {
    /** The version of a handshake that is held to one version, or "refused". */
    const handshake = async (port: number, version: SecureVersion): Promise<string> => {
      await using raw = await openForTls(host(), port);
      const options = { ciphers: ANY_CIPHER, minVersion: version, maxVersion: version };
      return await raw.secure(options).then(
        (tls) => tls.getProtocol() ?? "",
        () => "refused",
      );
    };

    it.each([465, 587, 993, 143])("below TLS 1.3 are refused to accounts on port %i", async (port) => {
      const found: string[] = [];
      for (const version of ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) {
        found.push(await handshake(port, version));
      }
      expect(found).toEqual(["refused", "refused", "refused", "TLSv1.3"]);
    });

    it("below TLS 1.2 are refused to other servers", async () => {
      const found: string[] = [];
      for (const version of ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) {
        found.push(await handshake(25, version));
      }
      expect(found).toEqual(["refused", "refused", "TLSv1.2", "TLSv1.3"]);
    });
  });

  it("nothing but authenticated ciphers with fresh keys is agreed on with other servers", async () => {
    // The relay's own OpenSSL knows more old ciphers than ours. Suites for keys the relay has not are left out.
    const relay = ring.relay("_a.test");
    const list = "openssl ciphers -v -s -tls1_2 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'";
    const suites = (await relay.exec(`${list} | sed -nE 's/ .*Au=(ECDSA|None) .*//p'`)).stdout
      .trim()
      .split("\n");
    expect(suites).toEqual(expect.arrayContaining(["ADH-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA"]));
    const attempt = `for suite in ${suites.join(" ")}; do
      openssl s_client -connect ${host()}:25 -starttls smtp -tls1_2 -cipher "$suite:@SECLEVEL=0" </dev/null 2>&1 |
        sed -n 's/^New, .*Cipher is //p'
    done`;
    const agreed = (await relay.exec(attempt)).stdout.split("\n").filter((name) => name && name !== "(NONE)");
    expect(agreed).toContain("ECDHE-ECDSA-AES256-GCM-SHA384");
    for (const name of agreed) expect(name).toMatch(/^ECDHE-ECDSA-.*(GCM|CCM|CHACHA20)/);
  });

  it("a TLS connection is not negotiated anew", async () => {
    await using raw = await openForTls(host(), 25);
    const tls = await raw.secure({ maxVersion: "TLSv1.2" });
    let isAnew = false;
    tls.renegotiate({}, (error) => {
      isAnew = error === null;
    });
    // Postfix refuses, upon which our own side gives up.
    await raw.rest();
    expect(isAnew).toBe(false);
  });

  describe("what is slipped in behind STARTTLS", () => {
    it.each([25, 587])("is thrown away on port %i", async (port) => {
      await using raw = await openRaw({ host: host(), port });
      await raw.until(/^220 /m);
      await raw.write("EHLO before.test\r\n");
      await raw.until(/^250 /m);
      await raw.write("STARTTLS\r\nEHLO injected.test\r\nNOOP\r\n");
      await raw.until(/^220 .*TLS/m);
      await raw.secure();
      // Neither the EHLO before it nor the one slipped in counts, and no answer to either is waiting.
      await raw.write("MAIL FROM:<stranger@_c.test>\r\n");
      expect(await raw.until(/\r\n/)).toMatch(/^503 [^\r]*\r\n$/);
    });

    it("is thrown away on port 143, with the connection", async () => {
      await using raw = await openRaw({ host: host(), port: 143 });
      await raw.until(/^\* OK \[/m);
      await raw.write(`s STARTTLS\r\nx LOGIN ${alice.address} ${alice.password}\r\ny SELECT INBOX\r\n`);
      // The rest is read as a handshake, which it is not.
      expect(await raw.rest()).not.toMatch(/^[xy] /m);
    });

    it("cannot be a second handshake", async () => {
      await using smtp = await openSmtp({ host: host(), port: 25 });
      await smtp.startTls();
      expect(smtp.extensions()).not.toContain("STARTTLS");
      expect((await smtp.command("STARTTLS")).code).toBeGreaterThanOrEqual(500);
      await using imap = await openImap(host());
      expect(await imap.command("STARTTLS")).toMatchObject({ status: "BAD" });
    });
  });

  describe("a browser that is made to speak to a mail port", () => {
    // ALPACA and its forerunners: the browser trusts the certificate, the mail server reads the request's body.
    const request = (body: string) =>
      `POST / HTTP/1.1\r\nHost: _a.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

    it.each([465, 993])("on port %i gets no command through", async (port) => {
      const commands =
        port === 465
          ? `EHLO x\r\nAUTH PLAIN ${plainSecret(alice)}\r\nMAIL FROM:<${alice.address}>\r\n`
          : `a LOGIN ${alice.address} ${alice.password}\r\nb SELECT INBOX\r\n`;
      await using raw = await openRaw({ host: host(), port });
      await raw.secure();
      await raw.write(request(commands));
      const heard = await raw.rest();
      expect(heard).toMatch(/break rules|BYE/);
      expect(heard).not.toMatch(/^(235|334|[ab] OK)/m);
    });

    it("on port 993 is turned away in the handshake (RFC 7301)", async () => {
      await using raw = await openRaw({ host: host(), port: 993 });
      await expect(raw.secure({ ALPNProtocols: ["http/1.1"] })).rejects.toThrow("alert");
    });
  });
});
