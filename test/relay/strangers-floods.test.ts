/** Strangers who come in crowds or dawdle: each address has its share, old connections and others keep working. */
import { beforeAll, describe, expect, it } from "vitest";
import { maxOpenConnections } from "../../appliance/files/nftables.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { runCommand } from "../support/commands.ts";
import { type ImapSession, openImap, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { openForTls, openRaw, type RawConnection } from "../support/raw-connection.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** A second address of the test machine: the crowd's. */
const CROWD_ADDRESS = "10.77.0.253";
/** smtpd_client_connection_count_limit (appliance/files/postfix-main.ts). */
const MAX_SMTP_CONNECTIONS = 50;
const TIMEOUT = 60_000;

describeRelays("strangers in crowds", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const host = () => relay().address;
  let alice: Account;

  beforeAll(async () => {
    await runCommand(["ip", "address", "add", `${CROWD_ADDRESS}/24`, "dev", "homing0"]);
    alice = await makeAccount(relay());
  });

  const sendToAlice = async (session: SmtpSession) => {
    const source = await encryptedMail({ from: alice.address, to: alice.address });
    const sent = await session.send({ from: alice.address, to: [alice.address], source });
    expect(sent).toMatchObject({ code: 250 });
  };

  /** As many connections as the relay lets the crowd have of `count`. */
  const openCrowd = async (port: number, count: number): Promise<RawConnection[]> => {
    const attempts = await Promise.allSettled(
      Array.from({ length: count }, () => openRaw({ host: host(), port, localAddress: CROWD_ADDRESS })),
    );
    return attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  };
  const disperse = async (crowd: readonly RawConnection[]) => {
    for (const connection of crowd) await connection[Symbol.asyncDispose]();
  };

  describe("from one address", () => {
    it(`get ${MAX_SMTP_CONNECTIONS} connections of port 25, and others theirs`, async () => {
      await using before = await openSmtp({ host: host(), port: 25 });
      const crowd = await openCrowd(25, MAX_SMTP_CONNECTIONS + 10);
      await waitFor("every one of the crowd has its answer", TIMEOUT, () =>
        crowd.every((connection) => connection.heard().includes("\r\n")),
      );
      const greetings = crowd.map((connection) => connection.heard().slice(0, 3)).sort();
      expect(greetings).toEqual([
        ...Array<string>(MAX_SMTP_CONNECTIONS).fill("220"),
        ...Array<string>(10).fill("421"),
      ]);
      await before.startTls();
      expect(await before.command("MAIL FROM:<stranger@_c.test>")).toMatchObject({ code: 250 });
      await using meanwhile = await openSmtp({ host: host(), port: 25 });
      expect(meanwhile.greeting.code).toBe(220);
      await disperse(crowd);
      await waitFor("the crowd's address is served again", TIMEOUT, async () => {
        await using after = await openSmtp({ host: host(), port: 25, localAddress: CROWD_ADDRESS });
        return after.greeting.code === 220;
      });
    });

    it(`get ${maxOpenConnections} connections in all, and others theirs`, async () => {
      await using waiting = await openInbox(host(), alice.address, alice.password);
      await using sending = await openSubmission(host(), alice.address, alice.password);
      const idle = await waiting.idle();
      // Silent before the TLS handshake: the dearest connections to keep, the cheapest to open.
      const crowd = await openCrowd(993, maxOpenConnections + 50);
      expect(crowd.length).toBeLessThanOrEqual(maxOpenConnections);
      expect(crowd.length).toBeGreaterThan(maxOpenConnections / 2);
      const notice = idle.next();
      await sendToAlice(sending);
      expect((await notice).exists).toBe(1);
      await using meanwhile = await openInbox(host(), alice.address, alice.password);
      expect(await meanwhile.command("NOOP")).toMatchObject({ status: "OK" });
      await disperse(crowd);
      await waitFor("the crowd's address is served again", TIMEOUT, async () => {
        await using after = await openRaw({ host: host(), port: 993, localAddress: CROWD_ADDRESS });
        return after.isOpen();
      });
    });
  });

  describe("before and after the login to IMAP", () => {
    /** Of a login process's 1000 places ten are left, and of an account's 100 connections five: sooner the same. */
    const maxAccountConnections = 5;
    beforeAll(async () => {
      await relay().exec(`cat >> /etc/dovecot/dovecot.conf <<'END'
mail_max_userip_connections = ${maxAccountConnections}
service imap-login {
  client_limit = 10
  process_limit = 1
  process_min_avail = 1
}
END
systemctl restart dovecot`);
      await waitFor("IMAP is back", TIMEOUT, async () => {
        await using session = await openImap(host());
        return session.greeting.includes("OK");
      });
    });

    it("who never log in make room for those who do when Dovecot has no place left", async () => {
      await using waiting = await openInbox(host(), alice.address, alice.password);
      const crowd = await openCrowd(143, 30);
      for (let login = 0; login < 3; login++) {
        await using session = await openInbox(host(), alice.address, alice.password);
        expect(await session.command("NOOP")).toMatchObject({ status: "OK" });
      }
      expect(await waiting.command("NOOP")).toMatchObject({ status: "OK" });
      expect(crowd.filter((connection) => connection.isOpen()).length).toBeLessThan(30);
      await disperse(crowd);
    });

    it("an account gets its number of connections from an address, and others theirs", async () => {
      const bob = await makeAccount(relay());
      const sessions: ImapSession[] = [];
      for (let count = 0; count < maxAccountConnections; count++) {
        sessions.push(await openInbox(host(), alice.address, alice.password));
      }
      await expect(openInbox(host(), alice.address, alice.password)).rejects.toThrow("NO [LIMIT]");
      await using other = await openInbox(host(), bob.address, bob.password);
      for (const session of [...sessions, other]) {
        expect(await session.command("NOOP")).toMatchObject({ status: "OK" });
        await session[Symbol.asyncDispose]();
      }
    });

    it.each([
      ["a line of 100 kB", `a ${"x".repeat(100_000)}\r\n`],
      ["a literal of a gigabyte", "a LOGIN {1000000000}\r\n"],
      ["a literal of 100 kB that is not waited for", `a LOGIN {100000+}\r\n${"x".repeat(100_000)} y\r\n`],
      ["words that are none", "boo\r\n".repeat(30)],
      ["bytes that are none", "\0\xff\r\n".repeat(30)],
    ])("%s before the login ends the conversation", async (_what, bytes) => {
      await using raw = await openRaw({ host: host(), port: 993 });
      await raw.secure();
      await raw.write(bytes);
      expect(await raw.rest(TIMEOUT)).not.toMatch(/^a OK/m);
    });
  });

  describe("who dawdle", () => {
    /** Postfix's limits of time, cut from minutes to seconds; all else stays. */
    const seconds = 3;
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

    /** Says one byte every now and then until the server has had enough; what it said then. */
    const trickle = async (raw: RawConnection, byte: string): Promise<string> => {
      const timer = setInterval(() => void raw.write(byte), 200);
      try {
        return await raw.rest(TIMEOUT);
      } finally {
        clearInterval(timer);
      }
    };
    const secured = async (): Promise<RawConnection> => {
      const raw = await openForTls(host(), 25);
      await raw.secure();
      await raw.write("EHLO slow.test\r\n");
      await raw.until(/^250 /m);
      return raw;
    };

    it("in silence are sent away", async () => {
      await using greeted = await openRaw({ host: host(), port: 25 });
      await using inTls = await secured();
      expect(await greeted.rest(TIMEOUT)).toMatch(/^421 4\.4\.2 /m);
      expect(await inTls.rest(TIMEOUT)).toMatch(/^421 4\.4\.2 /m);
    });

    it("over a command, byte by byte, are sent away", async () => {
      await using raw = await secured();
      await raw.write("MAIL FROM:<");
      expect(await trickle(raw, "x")).toMatch(/^421 4\.4\.2 /m);
    });

    it("over a message, byte by byte, are sent away, and it is none", async () => {
      await using raw = await secured();
      await raw.write(`MAIL FROM:<stranger@_c.test>\r\nRCPT TO:<${alice.address}>\r\n`);
      await raw.until(/^250 2\.1\.5/m);
      await raw.write("DATA\r\n");
      await raw.until(/^354 /m);
      const heard = await trickle(raw, "X\r\n");
      expect(heard).not.toMatch(/^(250 2\.0\.0|5)/m);
      expect(heard).toMatch(/^421 4\.4\.2 /m);
    });

    it("over a TLS handshake are sent away", async () => {
      await Promise.all(
        [25, 465, 587].map(async (port) => {
          await using raw = await openForTls(host(), port);
          // The first bytes of a ClientHello, and then nothing.
          await raw.write("\x16\x03\x01\x02\x00\x01\x00");
          await raw.rest(TIMEOUT);
        }),
      );
    });

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
      const crowd = await openCrowd(25, 2 * processes);
      await waitFor("the port is taken", TIMEOUT, () => {
        return crowd.filter((connection) => connection.heard().startsWith("220")).length >= processes;
      });
      expect(await isServing()).toBe(true);
      const stressed = await relay().exec("ps -C smtpd --no-headers -o args");
      expect(stressed.stdout).toContain("stress=yes");
      await disperse(crowd);
    });
  });

  it("a process that memory runs out for takes no other with it", async () => {
    const policies = await relay().exec(
      "systemctl show --property=OOMPolicy postfix.service dovecot.service",
    );
    expect(policies.stdout.match(/OOMPolicy=continue/g)).toHaveLength(2);
  });
});
