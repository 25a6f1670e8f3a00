/** What strangers can learn of accounts by asking: texts, times and listings must tell nothing. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openImap, openInbox } from "../support/imap-session.ts";
import { addClientAddresses } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp } from "../support/smtp-session.ts";

/** Too short for a new account, or each try would make one. */
const WRONG_PASSWORD = "12345678";
/**
 * The logins over TLS. The relay has no HTTP that strangers could ask yet; a port that takes names or passwords there
 * belongs into this list.
 */
const LOGIN_PORTS = [143, 465, 587, 993];
/** Names with an account, and as many without, tried in pairs. */
const PAIRS = 24;
/** The fastest of so many tries counts for a name: a busy moment of the machine only adds time. */
const TRIES = 3;
/**
 * In so many pairs of 24 the same one of the two is faster by chance only once in 28 000 series (sign test: of the 2^24
 * outcomes 2 · (1 + 24 + 276) have two exceptions at most), and not twice in a row.
 */
const TELLING = 22;
const SERIES = 2;

type Sample = Readonly<{ text: string; milliseconds: number }>;

describeRelays("strangers and accounts", { "_a.test": {} }, (ring) => {
  const host = () => ring.relay("_a.test").address;
  const known: Account[] = [];

  beforeAll(async () => {
    // Its two seconds would hide the milliseconds that a hash takes, and come in steps of their own.
    const relay = ring.relay("_a.test");
    await relay.exec(
      "sed --in-place 's/^auth_failure_delay = .*/auth_failure_delay = 0/' /etc/dovecot/dovecot.conf && " +
        "doveadm reload && doveconf auth_failure_delay | grep -w 0",
    );
    for (let count = 0; count < PAIRS; count++) known.push(await makeAccount(ring.relay("_a.test")));
  });

  /** A login over SMTP or IMAP, timed from its last byte to the answer. */
  const tryLogin = async (
    port: number,
    address: string,
    from: { localAddress?: string } = {},
  ): Promise<Sample> => {
    if (port === 465 || port === 587) {
      await using session = await openSmtp({ host: host(), port, implicitTls: port === 465, ...from });
      if (port === 587) await session.startTls();
      const start = performance.now();
      const { code, text } = await session.login(address, WRONG_PASSWORD);
      return { text: `${code} ${text}`, milliseconds: performance.now() - start };
    }
    await using session = await openImap(host(), port, { plain: port === 143, ...from });
    if (port === 143) await session.startTls();
    const start = performance.now();
    const { status, text } = await session.command(`LOGIN "${address}" "${WRONG_PASSWORD}"`);
    return { text: `${status} ${text}`, milliseconds: performance.now() - start };
  };

  describe("by a wrong password", () => {
    let strangers: string[];
    beforeAll(async () => {
      // A series takes what an address may try (services/auth/guess-limits.ts).
      strangers = await addClientAddresses(LOGIN_PORTS.length * SERIES);
    });

    it.each(LOGIN_PORTS)("is told nothing on port %i, in words or in time", async (port) => {
      const found: { knownFaster: number; unknownFaster: number }[] = [];
      for (let count = 0; count < SERIES; count++) {
        const series = await compareTimes(port, strangers.pop()!);
        found.push(series);
        if (Math.max(series.knownFaster, series.unknownFaster) < TELLING) return;
      }
      expect(found, "a name with an account is answered in another time").toEqual([]);
    });

    /** In how many pairs of a name with an account and one without the one is answered faster than the other. */
    const compareTimes = async (port: number, localAddress: string) => {
      const texts = new Set<string>();
      const counts = { knownFaster: 0, unknownFaster: 0 };
      for (const { address } of known) {
        const unknown = inventAccount("_a.test").address;
        const fastest = new Map([address, unknown].map((name) => [name, Number.POSITIVE_INFINITY]));
        for (let count = 0; count < TRIES; count++) {
          // One after the other, each as often first: side by side they would wait for each other.
          for (const name of count % 2 === 0 ? [address, unknown] : [unknown, address]) {
            const { text, milliseconds } = await tryLogin(port, name, { localAddress });
            texts.add(text);
            fastest.set(name, Math.min(fastest.get(name)!, milliseconds));
          }
        }
        counts[fastest.get(address)! < fastest.get(unknown)! ? "knownFaster" : "unknownFaster"] += 1;
      }
      expect([...texts]).toHaveLength(1);
      expect([...texts][0]).toMatch(/^(535 5\.7\.8|NO \[AUTHENTICATIONFAILED\])/);
      return counts;
    };

    it("is told the same for names that can be no account's", async () => {
      const texts = await Promise.all(
        [
          known[0]!.address,
          "nobody-is@_a.test",
          "much-longer-than-nine@_a.test",
          "postmaster@_a.test",
          "nine-char@_b.test",
          "no-domain",
          "a@b@_a.test",
        ].flatMap((address) =>
          [465, 993].map(async (port) => `${port} ${(await tryLogin(port, address)).text}`),
        ),
      );
      expect(new Set(texts).size).toBe(2);
    });
  });

  it("by VRFY, EXPN and HELP is told nothing on any port", async () => {
    for (const port of [25, 465, 587]) {
      await using session = await openSmtp({ host: host(), port, implicitTls: port === 465 });
      if (port !== 465) await session.startTls();
      const answers = new Set<string>();
      for (const name of [
        known[0]!.address,
        known[0]!.address.split("@")[0]!,
        "nobody-is@_a.test",
        "root",
        "",
      ]) {
        const { code, text } = await session.command(`VRFY ${name}`.trimEnd());
        answers.add(`${code} ${text}`);
      }
      expect(answers.size).toBe(1);
      for (const command of [`EXPN ${known[0]!.address}`, "EXPN nobody-is@_a.test"]) {
        expect((await session.command(command)).code).toBeGreaterThanOrEqual(500);
      }
      expect((await session.command("HELP")).text).not.toContain("@");
    }
  });

  it("by RCPT is told on port 25 alone, where every server must say it (RFC 5321 §3.3)", async () => {
    const ask = async (port: number, address: string) => {
      await using session = await openSmtp({ host: host(), port, implicitTls: port === 465 });
      if (port !== 465) await session.startTls();
      await session.command("MAIL FROM:<stranger@_c.test>");
      const { code, text } = await session.command(`RCPT TO:<${address}>`);
      return `${code} ${text.replace(address, "")}`;
    };
    expect(await ask(25, known[0]!.address)).toMatch(/^250 /);
    expect(await ask(25, "nobody-is@_a.test")).toMatch(/^550 5\.1\.1 /);
    for (const port of [465, 587]) {
      expect(await ask(port, known[0]!.address)).toBe(await ask(port, "nobody-is@_a.test"));
    }
  });

  it("by an account of one's own is told nothing of the others'", async () => {
    const [spy, other] = known as [Account, Account];
    {
      await using session = await openInbox(host(), other.address, other.password);
      const text = "From: <someone@_a.test>\r\nSubject: private\r\n\r\nprivate\r\n";
      expect(await session.command(`APPEND INBOX {${text.length}+}\r\n${text}`)).toMatchObject({
        status: "OK",
      });
    }
    await using session = await openInbox(host(), spy.address, spy.password);
    for (const mailbox of [
      `../${other.address}/mail`,
      `../../mail/${other.address}/mail`,
      `/data/mail/${other.address}/mail`,
      `~${other.address}/INBOX`,
      `user.${other.address}`,
      `#user.${other.address}`,
      `Other Users.${other.address}`,
      "..",
      "../../../etc",
    ]) {
      expect((await session.command(`STATUS "${mailbox}" (MESSAGES)`)).status, mailbox).not.toBe("OK");
      expect((await session.command(`SELECT "${mailbox}"`)).status, mailbox).not.toBe("OK");
    }
    const list = await session.command('LIST "" "*"');
    expect(list.untagged.join("\n")).not.toContain(other.address);
    const namespaces = await session.command("NAMESPACE");
    // Personal ones; nobody else's, none shared (RFC 2342).
    expect(namespaces.untagged.join()).toMatch(/NAMESPACE \(\(.*\)\) NIL NIL$/);
    for (const command of [`GETQUOTA "${other.address}"`, `PROXYAUTH ${other.address}`, "UNAUTHENTICATE"]) {
      expect((await session.command(command)).status, command).not.toBe("OK");
    }
    await using intact = await openInbox(host(), other.address, other.password);
    expect(await intact.fetchSources()).toHaveLength(1);
  });
});
