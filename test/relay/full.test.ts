/** What is left when somebody fills up: an account its mailbox by sheer number, all accounts the disk of the relay. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataPaths } from "../../appliance/layout.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { type ImapSession, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 60_000;
/** 245 messages of a block each; the largest one leaves a queue of a few megabytes. */
const messages = { mailboxBytes: 1_000_000, maxMessageBytes: 500_000 };
const fittingMessages = Math.ceil(messages.mailboxBytes / 4096);
const fittingFolders = 50;
const settings = { messages, sending: { perMinute: 6000, burst: 1000 } };

describeRelays("who fills up", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let greedy: Account;
  let other: Account;
  beforeAll(async () => {
    greedy = await makeAccount(relay());
    other = await makeAccount(relay());
  });
  const open = (account: Account) => openInbox(relay().address, account.address, account.password);
  const sendTo = async (to: Account) => {
    await using session = await openSubmission(relay().address, other.address, other.password);
    const source = await encryptedMail({ from: other.address, to: to.address });
    return await session.send({ from: other.address, to: [to.address], source });
  };
  /** How often the command succeeds until the answer is NO; it must not be OK a hundred times more than allowed. */
  const repeat = async (session: ImapSession, allowed: number, command: (count: number) => string) => {
    for (let count = 0; count < allowed + 100; count++) {
      const answer = await session.command(command(count));
      if (answer.status !== "OK") return { count, refusal: `${answer.status} ${answer.text}` };
    }
    return { count: Number.POSITIVE_INFINITY, refusal: "" };
  };

  it("its mailbox with the smallest messages is stopped at as many as it has blocks, by every way in", async () => {
    await using session = await open(greedy);
    const tiny = "A: b\r\n\r\n";
    const appended = await repeat(
      session,
      fittingMessages,
      () => `APPEND INBOX {${tiny.length}+}\r\n${tiny}`,
    );
    expect(appended).toEqual({ count: fittingMessages, refusal: expect.stringMatching(/^NO \[OVERQUOTA\]/) });
    await session.command("NOOP");
    expect((await session.command("COPY 1:10 INBOX")).text).toMatch(/^\[OVERQUOTA\]/);
    expect(await sendTo(greedy)).toMatchObject({ code: 250 });
    await waitFor("the message to the full mailbox goes back", TIMEOUT, async () => {
      return (
        (await relay().logEntries(new RegExp(`to=<${greedy.address}>.*status=bounced.* 552 5\\.2\\.2 `)))
          .length === 1
      );
    });
    // Whoever deletes some has room again.
    await session.command("STORE 1:5 +FLAGS.SILENT (\\Deleted)");
    await session.command("EXPUNGE");
    expect(await session.command(`APPEND INBOX {${tiny.length}+}\r\n${tiny}`)).toMatchObject({
      status: "OK",
    });
  });

  it("its mailbox with large messages is stopped at the very byte", async () => {
    const account = await makeAccount(relay());
    await using session = await open(account);
    const append = async (bytes: number) => {
      const mail = `A: b\r\n\r\n${"x".repeat(bytes - 8)}`;
      const { status, text } = await session.command(`APPEND INBOX {${mail.length}+}\r\n${mail}`);
      return `${status} ${text}`;
    };
    expect(await append(messages.maxMessageBytes)).toMatch(/^OK/);
    expect(await append(messages.mailboxBytes - messages.maxMessageBytes - 100)).toMatch(/^OK/);
    expect(await append(101)).toMatch(/^NO \[OVERQUOTA\]/);
    expect(await append(100)).toMatch(/^OK/);
    expect(await append(9)).toMatch(/^NO \[OVERQUOTA\]/);
  });

  it("its account with folders is stopped, too", async () => {
    await using session = await open(greedy);
    const created = await repeat(session, fittingFolders, (count) => `CREATE folder${count}`);
    expect(created.refusal).toMatch(/^NO /);
    // INBOX counts.
    expect(created.count).toBe(fittingFolders - 1);
    const renamed = await session.command("RENAME folder0 another");
    expect(renamed.status).toBe("OK");
  });

  it("hinders nobody else", async () => {
    expect(await sendTo(other)).toMatchObject({ code: 250 });
    await waitFor("the other's message arrives", TIMEOUT, async () => {
      await using session = await open(other);
      return (
        (await session.command("SEARCH FROM other")).status === "OK" &&
        (await session.fetchSources()).length > 0
      );
    });
  });

  describe("the disk", () => {
    const queue = `${dataPaths.postfix}/queue`;
    /** Postfix's reserve is 8 messages of 500 kB: one size below and one above it. */
    const [small, large] = ["3500k", "20m"];
    beforeAll(async () => {
      await relay().exec(
        `systemctl stop postfix && mount -t tmpfs -o size=${small},mode=755 tmpfs ${queue} && systemctl start postfix`,
      );
    });
    afterAll(async () => {
      await relay().exec(`systemctl stop postfix && umount ${queue} && systemctl start postfix`);
    });

    it("is not filled by the queue: mail is told to wait, and taken when there is room again", async () => {
      await using session = await openSubmission(relay().address, other.address, other.password);
      const mail = `MAIL FROM:<${other.address}>`;
      expect(await session.command(mail)).toMatchObject({
        code: 452,
        text: expect.stringMatching(/^4\.3\.1 /),
      });
      await using stranger = await openSmtp({ host: relay().address, port: 25 });
      await stranger.startTls();
      expect(await stranger.command("MAIL FROM:<stranger@_c.test>")).toMatchObject({ code: 452 });
      // Reading, and storing in a mailbox that has room, go on.
      await using inbox = await open(other);
      expect(await inbox.command("APPEND INBOX {8+}\r\nA: b\r\n\r\n")).toMatchObject({ status: "OK" });
      await relay().exec(`mount -o remount,size=${large} ${queue}`);
      expect(await session.command(mail)).toMatchObject({ code: 250 });
    });
  });
});
