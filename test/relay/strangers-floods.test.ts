/** Strangers who come in crowds: each address has its share, old connections and others keep working. */
import { totalmem } from "node:os";
import { beforeAll, describe, expect, it } from "vitest";
import { connectionsOfSource } from "../../appliance/files/capacity.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { runCommand } from "../support/commands.ts";
import { type ImapSession, openImap, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { openRaw, type RawConnection } from "../support/raw-connection.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** A second address of the test machine: the crowd's. */
const CROWD_ADDRESS = "10.77.0.253";
/** smtpd_client_connection_count_limit (appliance/files/postfix-main.ts). */
const MAX_SMTP_CONNECTIONS = 50;
const TIMEOUT = 60_000;

/** The relays are containers: they see the memory of this machine. */
const maxOpenConnections = connectionsOfSource({ memoryBytes: totalmem() });

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

  describe("for whom memory runs out", () => {
    /** What is the same as long as nothing but the one process was ended, by service. */
    const stateOf = async (service: string) => {
      const properties = "--property=ActiveState,MainPID,NRestarts";
      return (await relay().exec(["systemctl", "show", properties, `${service}.service`])).stdout;
    };
    const expectServed = async () => {
      const carol = await makeAccount(relay());
      await using receiving = await openInbox(host(), carol.address, carol.password);
      const idle = await receiving.idle();
      await using sending = await openSubmission(host(), alice.address, alice.password);
      const source = await encryptedMail({ from: alice.address, to: carol.address });
      const sent = await sending.send({ from: alice.address, to: [carol.address], source });
      expect(sent).toMatchObject({ code: 250 });
      expect((await idle.next()).exists).toBe(1);
    };
    /** From now on the process gets no memory that it has not got yet. Its own user may do that to it. */
    const giveNoMoreMemory = (pid: string) =>
      relay().exec(
        `setpriv --reuid=$(ps -o ruser= -p ${pid}) --regid=$(ps -o rgroup= -p ${pid}) --clear-groups prlimit --pid=${pid} --as=1`,
      );
    it("lose one process of Postfix, and nobody else's", async () => {
      const before = await stateOf("postfix");
      await using beside = await openSubmission(host(), alice.address, alice.password);
      await using greedy = await openSubmission(host(), alice.address, alice.password);
      await sendToAlice(greedy);
      const processes = await relay().exec("pgrep --full '^cleanup .*submission-cleanup'");
      for (const pid of processes.stdout.trim().split("\n")) await giveNoMoreMemory(pid);
      // A field is held in memory as a whole, up to header_size_limit (102 400 bytes).
      const mail = await encryptedMail({ from: alice.address, to: alice.address });
      const sent = await greedy.send({
        from: alice.address,
        to: [alice.address],
        source: `X-Flood: ${"x".repeat(100_000)}\r\n${mail}`,
      });
      // Its sender tries again later.
      expect(sent).toMatchObject({ code: 451 });
      const journal = await waitFor("Postfix knows that the process is gone", TIMEOUT, async () => {
        const said = await relay().journal("postfix.service");
        return /cleanup pid \d+ exit status 1/.test(said) && said;
      });
      expect(journal).toMatch(/cleanup\[\d+\]: fatal: .*insufficient memory/);
      // Should that meet another of those processes, its sender tries again too.
      await waitFor("a message is taken again", TIMEOUT, async () => {
        await sendToAlice(beside);
        return true;
      });
      expect(await stateOf("postfix")).toBe(before);
      await expectServed();
    });

    it("lose one process of Dovecot, and nobody else's", async () => {
      const before = await stateOf("dovecot");
      await using beside = await openInbox(host(), alice.address, alice.password);
      const bob = await makeAccount(relay());
      await using greedy = await openInbox(host(), bob.address, bob.password);
      const logins = await relay().logEntries(new RegExp(`Logged in: user=<${bob.address}>`));
      const pid = /mpid=(\d+)/.exec(logins.at(-1)!.message)![1]!;
      await giveNoMoreMemory(pid);
      await expect(greedy.command(`SEARCH ${'SUBJECT "xxxxxxxxxxxx" '.repeat(2000)}`)).rejects.toThrow(
        "closed",
      );
      await waitFor("the log says what became of the process", TIMEOUT, async () => {
        return (await relay().logEntries(new RegExp(`child ${pid} returned error 83 \\(Out of memory`)))[0];
      });
      expect(await beside.command("NOOP")).toMatchObject({ status: "OK" });
      expect(await stateOf("dovecot")).toBe(before);
      await expectServed();
    });

    it("are ended alone: systemd is told so for when it is the kernel that ends a process (OOMPolicy)", async () => {
      const policies = await relay().exec(
        "systemctl show --property=OOMPolicy postfix.service dovecot.service",
      );
      expect(policies.stdout.match(/OOMPolicy=continue/g)).toHaveLength(2);
    });
  });
});
