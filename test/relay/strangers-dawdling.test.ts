/**
 * Strangers who are slow on purpose, on every port: each thing that is waited for has its limit of time, and who
 * holds a whole port holds it no longer. The limits are minutes on a device; here they are cut to seconds.
 */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { runCommand } from "../support/commands.ts";
import { openImap } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { openForTls, openRaw, type RawConnection } from "../support/raw-connection.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 60_000;
/** A byte every so many milliseconds: silence to no limit that looks at the last byte alone. */
const TRICKLE_INTERVAL = 200;

describeRelays("strangers who dawdle", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const host = () => relay().address;
  let alice: Account;

  beforeAll(async () => {
    alice = await makeAccount(relay());
  });

  /** Says a little every now and then until the server has had enough; what it said then. */
  const trickle = async (raw: RawConnection, bytes: string): Promise<string> => {
    const timer = setInterval(() => void raw.write(bytes), TRICKLE_INTERVAL);
    try {
      return await raw.rest(TIMEOUT);
    } finally {
      clearInterval(timer);
    }
  };

  describe("over SMTP", () => {
    /** Postfix's limits of time, cut from minutes to seconds; all else stays. */
    const seconds = 3;
    const ports = [25, 465, 587];
    const isServing = async () => {
      await using session = await openSmtp({ host: host(), port: 25 });
      return session.greeting.code === 220;
    };
    beforeAll(async () => {
      const times = ["smtpd_timeout", "smtpd_starttls_timeout"];
      for (const name of times) {
        const cut = `s/^${name} = .*/${name} = ${seconds}s/`;
        await relay().exec(["sed", "--in-place", "--regexp-extended", cut, "/etc/postfix/main.cf"]);
      }
      const set = await relay().exec(["postconf", "-h", ...times]);
      expect(set.stdout).toBe(`${seconds}s\n${seconds}s\n`);
      await relay().exec("systemctl restart postfix");
      await waitFor("Postfix is back", TIMEOUT, isServing);
    });

    const secured = async (port: number): Promise<RawConnection> => {
      const raw = await openForTls(host(), port);
      await raw.secure();
      if (port === 465) await raw.until(/^220 /m);
      await raw.write("EHLO slow.test\r\n");
      await raw.until(/^250 /m);
      return raw;
    };
    /** A session that may send: one that is logged in, but on port 25. */
    const ready = async (port: number): Promise<RawConnection> => {
      const raw = await secured(port);
      if (port === 25) return raw;
      const secret = Buffer.from(`\0${alice.address}\0${alice.password}`).toString("base64");
      await raw.write(`AUTH PLAIN ${secret}\r\n`);
      await raw.until(/^235 /m);
      return raw;
    };

    it.concurrent.each([25, 587])("in silence before TLS are sent away on port %i", async (port) => {
      await using raw = await openRaw({ host: host(), port });
      expect(await raw.rest(TIMEOUT)).toMatch(/^421 4\.4\.2 /m);
    });

    it.concurrent.each(ports)("over a TLS handshake are sent away on port %i", async (port) => {
      await using silent = await openForTls(host(), port);
      await using raw = await openForTls(host(), port);
      // The first bytes of a ClientHello, and then nothing, or a byte now and then.
      await raw.write("\x16\x03\x01\x02\x00\x01\x00");
      await Promise.all([silent.rest(TIMEOUT), trickle(raw, "\0")]);
    });

    it.concurrent.each(ports)("in silence are sent away on port %i", async (port) => {
      await using before = await secured(port);
      await using after = await ready(port);
      expect(await before.rest(TIMEOUT)).toMatch(/^421 4\.4\.2 /m);
      expect(await after.rest(TIMEOUT)).toMatch(/^421 4\.4\.2 /m);
    });

    it.concurrent.each(ports)("over a command, byte by byte, are sent away on port %i", async (port) => {
      await using raw = await secured(port);
      await raw.write("MAIL FROM:<");
      expect(await trickle(raw, "x")).toMatch(/^421 4\.4\.2 /m);
    });

    it.concurrent.each([465, 587])(
      "over a password, byte by byte, are sent away on port %i",
      async (port) => {
        await using raw = await secured(port);
        await raw.write("AUTH PLAIN\r\n");
        await raw.until(/^334 /m);
        const heard = await trickle(raw, "A");
        expect(heard).not.toMatch(/^235 /m);
        expect(heard).toMatch(/^421 4\.4\.2 /m);
      },
    );

    it.concurrent.each(ports)(
      "over a message, byte by byte, are sent away on port %i, and it is none",
      async (port) => {
        await using raw = await ready(port);
        const sender = port === 25 ? "stranger@_c.test" : alice.address;
        await raw.write(`MAIL FROM:<${sender}>\r\nRCPT TO:<${alice.address}>\r\n`);
        await raw.until(/^250 2\.1\.5/m);
        await raw.write("DATA\r\n");
        await raw.until(/^354 /m);
        const heard = await trickle(raw, "X\r\n");
        expect(heard).not.toMatch(/^(250 2\.0\.0|5)/m);
        expect(heard).toMatch(/^421 4\.4\.2 /m);
      },
    );

    it("a little, as phones do, are waited for", async () => {
      await using session = await openSubmission(host(), alice.address, alice.password);
      await session.command(`MAIL FROM:<${alice.address}>`);
      await session.command(`RCPT TO:<${alice.address}>`);
      await session.command("DATA");
      const [head, ...body] = (
        await encryptedMail({ from: alice.address, to: alice.address }, "x".repeat(6000))
      ).match(/.{1,1500}/gs)!;
      session.write(head!);
      // Three times the smallest rate, for longer than a command may take.
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          const next = body.shift();
          if (next !== undefined) return session.write(next);
          clearInterval(timer);
          resolve();
        }, 1000);
      });
      expect(await session.command(".")).toMatchObject({ code: 250 });
    });

    it("in a crowd that has taken a whole port, keep it no longer, and Postfix goes into stress", async () => {
      // Five processes instead of a hundred; whoever comes next waits for one in the kernel's queue.
      const processes = 5;
      const fewer = `s/^25 inet n - n - \\S+ smtpd$/25 inet n - n - ${processes} smtpd/`;
      await relay().exec(["sed", "--in-place", "--regexp-extended", fewer, "/etc/postfix/master.cf"]);
      await relay().exec("systemctl restart postfix");
      await waitFor("Postfix is back", TIMEOUT, isServing);
      const crowd = await Promise.all(
        Array.from({ length: 2 * processes }, () => openRaw({ host: host(), port: 25 })),
      );
      await waitFor("the port is taken", TIMEOUT, () => {
        return crowd.filter((connection) => connection.heard().startsWith("220")).length >= processes;
      });
      expect(await isServing()).toBe(true);
      const stressed = await relay().exec("ps -C smtpd --no-headers -o args");
      expect(stressed.stdout).toContain("stress=yes");
      for (const connection of crowd) await connection[Symbol.asyncDispose]();
    });
  });

  describe("over IMAP", () => {
    /**
     * How much faster the clock runs for Dovecot's login process: its three minutes for a login cannot be set
     * (MASTER_LOGIN_TIMEOUT_SECS in Dovecot's source).
     */
    const speed = 60;
    beforeAll(async () => {
      // Debian's libfaketime, from wherever the package has it on this kind of machine.
      const { stdout } = await runCommand(["dpkg", "--listfiles", "libfaketime"]);
      const library = /^.*\/libfaketime\.so\.1$/m.exec(stdout)![0];
      await copyFile(library, join(relay().dataFolder, "libfaketime.so.1"));
      await relay().exec(`mv /data/libfaketime.so.1 /usr/lib/
cat > /usr/lib/imap-login-fast <<'END'
#!/bin/sh
export LD_PRELOAD=/usr/lib/libfaketime.so.1 FAKETIME_DISABLE_SHM=1 FAKETIME='+0 x${speed}'
exec /usr/lib/dovecot/imap-login "$@"
END
chmod 755 /usr/lib/imap-login-fast /usr/lib/libfaketime.so.1
cat >> /etc/dovecot/dovecot.conf <<'END'
service imap-login {
  executable = /usr/lib/imap-login-fast
}
END
systemctl restart dovecot`);
      await waitFor("IMAP is back", TIMEOUT, async () => {
        await using session = await openImap(host());
        return session.greeting.includes("OK");
      });
    });

    it.concurrent.each([143, 993])("in silence are sent away on port %i", async (port) => {
      await using raw = await openRaw({ host: host(), port });
      await raw.rest(TIMEOUT);
    });

    it.concurrent.each([143, 993])("over a TLS handshake are sent away on port %i", async (port) => {
      await using raw = await openForTls(host(), port);
      await raw.write("\x16\x03\x01\x02\x00\x01\x00");
      await trickle(raw, "\0");
    });

    it.concurrent.each([143, 993])("over a command, byte by byte, are sent away on port %i", async (port) => {
      await using raw = await openForTls(host(), port);
      await raw.secure();
      await raw.write("a LOGIN ");
      expect(await trickle(raw, "x")).toMatch(/BYE/);
    });

    it.concurrent.each([143, 993])("over commands without end are sent away on port %i", async (port) => {
      await using raw = await openForTls(host(), port);
      await raw.secure();
      expect(await trickle(raw, "a NOOP\r\n")).toMatch(/BYE/);
    });

    it.concurrent.each([143, 993])(
      "over a password, byte by byte, are sent away on port %i",
      async (port) => {
        await using raw = await openForTls(host(), port);
        await raw.secure();
        await raw.write("a AUTHENTICATE PLAIN\r\n");
        await raw.until(/^\+/m);
        const heard = await trickle(raw, "A");
        expect(heard).not.toMatch(/^a OK/m);
        expect(heard).toMatch(/BYE/);
      },
    );
  });
});
