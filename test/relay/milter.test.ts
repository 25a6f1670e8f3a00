/** The milter behind real Postfix: early refusals, connections that last, and the rate limit over restarts. */
import { describe, expect, it } from "vitest";
import { type Account, makeAccount } from "../support/accounts.ts";
import { encryptedMail, plainMail } from "../support/mail.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const RESTART_TIMEOUT = 30_000;
const BURST = 6;
const MINUTE = 60_000;
const settings = { sending: { perMinute: 1, burst: BURST } };

describeRelays("the milter", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const open = ({ address, password }: Account) => openSubmission(relay().address, address, password);
  const mailOf = async (account: Account) => ({
    from: account.address,
    to: [account.address],
    source: await encryptedMail({ from: account.address, to: account.address }),
  });

  it("refuses at the end of the header and inside the body, in its own words, and goes on", async () => {
    const alice = await makeAccount(relay());
    await using session = await open(alice);
    const good = await mailOf(alice);
    const megabytes = `${"x".repeat(76)}\r\n`.repeat(50_000);
    const plain = plainMail({ from: alice.address, to: alice.address }, megabytes);
    // Right until its body: only there it shows that nothing is encrypted.
    const pretended = good.source.replace(/-----BEGIN PGP[\s\S]*-----END PGP MESSAGE-----/, megabytes);
    const refusal = { code: 523, text: "Encryption Needed: Invalid Unencrypted Mail" };
    expect(await session.send({ ...good, source: plain })).toEqual(refusal);
    expect(await session.send({ ...good, source: pretended })).toEqual(refusal);
    expect(await session.send(good)).toMatchObject({ code: 250 });
  });

  describe("that is started anew", () => {
    it.each([
      ["by its administrator", ["systemctl", "restart", "homing-milter.service"]],
      ["after a crash", ["systemctl", "kill", "--signal=KILL", "homing-milter.service"]],
    ])("%s goes on counting what an account sent", async (_how, command) => {
      const alice = await makeAccount(relay());
      const mail = await mailOf(alice);
      const send = async () => {
        await using session = await open(alice);
        return (await session.send(mail)).code;
      };
      const started = performance.now();
      let taken = 0;
      for (; taken < BURST - 1; taken++) expect(await send()).toBe(250);
      await relay().exec(command);
      // Between the crash and the next start there is no milter, and everything is deferred: 451.
      let code = await waitFor("the milter is back", RESTART_TIMEOUT, async () => {
        const reply = await send();
        return reply !== 451 && reply;
      });
      for (; code === 250 && taken < 2 * BURST; code = await send()) taken++;
      expect(code).toBe(450);
      expect(taken).toBeGreaterThanOrEqual(BURST);
      expect(taken).toBeLessThanOrEqual(BURST + Math.floor((performance.now() - started) / MINUTE));
    });
  });
});
