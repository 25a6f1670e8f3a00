/**
 * Mail bombs: more for one account than its mailbox may hold, one message after the other and many at once.
 * The quota holds, as far as docs/architecture.md says; what is too much comes back; others are served meanwhile.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail, signMail } from "../support/mail.ts";
import { mailOf, sendExactly } from "../support/mail-sizes.ts";
import { describeRelays } from "../support/ring.ts";
import { openSmtp, openSubmission } from "../support/smtp-session.ts";
import { openThirdHost, type ThirdHost } from "../support/third-host.ts";
import { waitFor } from "../support/wait.ts";

const STRANGER = "stranger@_c.test";
const TIMEOUT = 90_000;
/** Deliveries at one moment, which do not see each other (lmtp_destination_concurrency_limit). */
const MAX_AT_ONCE = 20;
/** Small enough to be filled by a handful of messages. */
const messages = { mailboxBytes: 2_000_000, maxMessageBytes: 600_000 };
const settings = { messages, sending: { perMinute: 6000, burst: 1000 } };

describeRelays("mail bombs", { "_b.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_b.test");
  let thirdHost: ThirdHost;
  beforeAll(async () => {
    thirdHost = await openThirdHost(ring.network());
  });
  afterAll(() => thirdHost?.[Symbol.asyncDispose]());

  const makeBomb = async (from: string, to: string) => {
    const signatureRoom = 1000;
    return await mailOf(messages.maxMessageBytes - signatureRoom, from, to);
  };
  /** Another message: the same one would be delivered once. The field is not signed. */
  const another = (bomb: string, count: number) => `X-Bomb: ${count}\r\n${bomb}`;
  /** What the log says of messages to the account: "sent", "bounced", or both. */
  const outcomes = (victim: Account, status: string) =>
    relay().logEntries(new RegExp(`to=<${victim.address}>.*status=${status}`));
  /** Messages in the account's mailbox, and how many bytes they count for. */
  const mailbox = async ({ address, password }: Account) => {
    await using session = await openInbox(relay().address, address, password);
    const status = (await session.command("STATUS INBOX (MESSAGES)")).untagged.join();
    const quota = (await session.command("GETQUOTAROOT INBOX")).untagged.join();
    return {
      messages: Number(/MESSAGES (\d+)/.exec(status)![1]),
      bytes: Number(/STORAGE (\d+) /.exec(quota)![1]) * 1024,
    };
  };

  it("one after the other fill a mailbox to the quota and no further, and come back", async () => {
    const [bomber, victim] = [await makeAccount(relay()), await makeAccount(relay())];
    const bomb = await makeBomb(bomber.address, victim.address);
    const fitting = Math.floor(messages.mailboxBytes / messages.maxMessageBytes);
    const bombs = 2 * fitting;
    await using session = await openSubmission(relay().address, bomber.address, bomber.password);
    for (let count = 1; count <= bombs; count++) {
      expect(await sendExactly(session, bomber.address, victim.address, another(bomb, count))).toMatchObject({
        code: 250,
      });
      await waitFor("the bomb is delivered or sent back", TIMEOUT, async () => {
        return (await outcomes(victim, "(sent|bounced)")).length === count;
      });
    }
    expect(await outcomes(victim, "bounced.* 552 5\\.2\\.2 ")).toHaveLength(bombs - fitting);
    const { messages: count, bytes } = await mailbox(victim);
    expect(count).toBe(fitting);
    expect(bytes).toBeLessThanOrEqual(messages.mailboxBytes);
    await waitFor("what came back", TIMEOUT, async () => {
      return (await mailbox(bomber)).messages === bombs - fitting;
    });
  });

  it("many at once from another server exceed the quota by what is delivered at one moment, and hinder nobody", async () => {
    const [victim, alice, bob] = [
      await makeAccount(relay()),
      await makeAccount(relay()),
      await makeAccount(relay()),
    ];
    const bomb = await signMail(await makeBomb(STRANGER, victim.address), thirdHost.key);
    let isEnough = false;
    let offered = 0;
    let taken = 0;
    /** One connection of the other server, which sends bombs without a pause; a few go on as long as it takes. */
    const bombard = async (goesOn: boolean) => {
      await using session = await openSmtp({ host: relay().address, port: 25, name: "_c.test" });
      await session.startTls();
      while (taken < 3 * MAX_AT_ONCE || (goesOn && !isEnough)) {
        const bombs = another(bomb, offered++);
        expect(await sendExactly(session, STRANGER, victim.address, bombs)).toMatchObject({ code: 250 });
        taken++;
      }
    };
    const bombardment = Promise.all(Array.from({ length: MAX_AT_ONCE }, (_, number) => bombard(number < 3)));
    /** Others who write to each other, from the first bomb that reached its aim on. */
    const others = async () => {
      await waitFor("the first bomb is delivered", TIMEOUT, async () => {
        return (await outcomes(victim, "sent")).length > 0;
      });
      await using sending = await openSubmission(relay().address, alice.address, alice.password);
      for (let count = 1; count <= 3; count++) {
        const source = await encryptedMail({ from: alice.address, to: bob.address });
        const sent = await sending.send({ from: alice.address, to: [bob.address], source });
        expect(sent).toMatchObject({ code: 250 });
        await waitFor("the other's message", TIMEOUT, async () => (await mailbox(bob)).messages === count);
      }
    };
    // The bombs go on until the others have what they wrote: all of it happened meanwhile.
    await Promise.all([bombardment, others().finally(() => (isEnough = true))]);
    await waitFor("every bomb is delivered or sent back", TIMEOUT, async () => {
      return (await outcomes(victim, "(sent|bounced)")).length === taken;
    });
    const { messages: count, bytes } = await mailbox(victim);
    expect(await outcomes(victim, "bounced.* 552 5\\.2\\.2 ")).toHaveLength(taken - count);
    expect(bytes).toBeGreaterThan(messages.mailboxBytes - messages.maxMessageBytes);
    expect(bytes).toBeLessThanOrEqual(messages.mailboxBytes + MAX_AT_ONCE * messages.maxMessageBytes);
    await waitFor("what came back", TIMEOUT, () => {
      return thirdHost.sink.received().length === taken - count;
    });
  });
});
