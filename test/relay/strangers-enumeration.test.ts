/** What strangers can learn of accounts by asking: texts, times and listings must tell nothing. */
import { beforeAll, describe, expect, it } from "vitest";
import { type Account, inventAccount, makeAccount } from "../support/accounts.ts";
import { openImap, openInbox } from "../support/imap-session.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp } from "../support/smtp-session.ts";

/** Too short for a new account, or each try would make one. */
const WRONG_PASSWORD = "12345678";
/** Tries of either kind on a port. */
const TRIES = 10;
/** Two samples can be told apart when nearly every value of one is above nearly every value of the other … */
const SEPARATION = 0.95;
/** … and when they differ by more than what a network hides, in milliseconds. */
const VISIBLE = 25;

type Sample = Readonly<{ text: string; milliseconds: number }>;

describeRelays("strangers and accounts", { "_a.test": {} }, (ring) => {
  const host = () => ring.relay("_a.test").address;
  const known: Account[] = [];

  beforeAll(async () => {
    for (let count = 0; count < TRIES; count++) known.push(await makeAccount(ring.relay("_a.test")));
  });

  /** A login over SMTP or IMAP, timed from its last byte to the answer. */
  const tryLogin = async (port: number, address: string, password: string): Promise<Sample> => {
    if (port === 465 || port === 587) {
      await using session = await openSmtp({ host: host(), port, implicitTls: port === 465 });
      if (port === 587) await session.startTls();
      const start = performance.now();
      const { code, text } = await session.login(address, password);
      return { text: `${code} ${text}`, milliseconds: performance.now() - start };
    }
    await using session = await openImap(host(), port);
    const start = performance.now();
    const { status, text } = await session.command(`LOGIN "${address}" "${password}"`);
    return { text: `${status} ${text}`, milliseconds: performance.now() - start };
  };

  /** The share of pairs in which the first sample's value is the larger one: 0.5 when they are alike. */
  const dominance = (one: readonly number[], other: readonly number[]) =>
    one.flatMap((a) => other.map((b) => (a > b ? 1 : 0))).reduce<number>((sum, value) => sum + value, 0) /
    (one.length * other.length);
  const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

  describe("by a wrong password", () => {
    it("is told nothing on ports 465, 587 and 993, in words or in time", async () => {
      // All ports at once: an answer takes two seconds on purpose (auth_failure_delay).
      await Promise.all([465, 587, 993].map(expectAlike));
    });

    /** Tries known and unknown names on the port. */
    const expectAlike = async (port: number): Promise<void> => {
      const samples = { known: [] as Sample[], unknown: [] as Sample[] };
      for (const [index, account] of known.entries()) {
        const stranger = inventAccount("_a.test");
        // Both at once, and each first as often as the other, so that a busy moment counts for both.
        const order = index % 2 === 0 ? ([account, stranger] as const) : ([stranger, account] as const);
        const pair = await Promise.all(order.map(({ address }) => tryLogin(port, address, WRONG_PASSWORD)));
        samples.known.push(pair[order.indexOf(account)]!);
        samples.unknown.push(pair[order.indexOf(stranger)]!);
      }
      const texts = new Set([...samples.known, ...samples.unknown].map(({ text }) => text));
      expect([...texts]).toHaveLength(1);
      expect([...texts][0]).toMatch(/^(535 5\.7\.8|NO \[AUTHENTICATIONFAILED\])/);
      const [knownTimes, unknownTimes] = [samples.known, samples.unknown].map((sample) =>
        sample.map(({ milliseconds }) => milliseconds),
      ) as [number[], number[]];
      const isSeparable = Math.abs(dominance(knownTimes, unknownTimes) - 0.5) > SEPARATION - 0.5;
      const isVisible = Math.abs(median(knownTimes) - median(unknownTimes)) > VISIBLE;
      expect(isSeparable && isVisible, JSON.stringify({ port, knownTimes, unknownTimes })).toBe(false);
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
          [465, 993].map(async (port) => `${port} ${(await tryLogin(port, address, WRONG_PASSWORD)).text}`),
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
