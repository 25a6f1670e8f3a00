/** Conversations with mail servers that offer less than Postfix does, or another way. */
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { beforeEach, describe, expect, it } from "vitest";
import { encryptedMail, plainMail, signMail } from "../../support/mail.ts";
import { applyChanges, connectMilter, type MilterClient, postfixOffer } from "./milter-client.ts";
import { alice, bob, resolveTxt, theirs, useMilter } from "./running-conversation.ts";

describe("a milter connection", () => {
  const at = useMilter();

  describe("with a mail server of version 2, which has no INSHEADER, no CHGFROM and no answer to leave out", () => {
    beforeEach(async () => {
      await at.milter.quit();
      at.milter = await connectMilter(at.path, { version: 2, actions: 0x3f, steps: 0x7f });
    });

    it("covers and signs, with the signature at the end of the header", async () => {
      await at.milter.session("submission");
      const text = await encryptedMail({ from: alice, to: bob, headers: ["User-Agent: Secret"] });
      expect(await at.submit(text)).toBe("continue");
      expect(at.milter.transcript).toEqual([
        "> CONNECT submission 192.0.2.1",
        "< continue",
        `> MAIL <${alice}>`,
        "< continue",
        `> RCPT <${bob}>`,
        "< continue",
        "> message of 8 header fields",
        ...Array.from({ length: 8 }, () => "< continue"),
        "< continue",
        "< continue",
        "< change User-Agent 1 “”",
        "< change Subject 1 “[...]”",
        "< add DKIM-Signature",
        "< continue",
      ]);
      const { results } = await dkimVerify(applyChanges(Buffer.from(text), withSpace(at.milter)), {
        resolver: resolveTxt,
      });
      expect(results[0]?.status.result).toBe("pass");
    });

    it("takes mail that needs no change, and defers what needs an empty envelope sender", async () => {
      await at.milter.session("mx");
      const text = await signMail(await encryptedMail({ from: bob, to: alice }), theirs);
      expect(await at.receive(text)).toBe("continue");
      expect(await at.receive(text, "<list@b.test>")).toBe("reply 451 4.3.5 Server configuration problem");
      expect(at.log.join("")).toContain("does not let a milter change");
    });
  });

  it.each([
    ["headers", 0x01],
    ["anything", 0],
  ])(
    "defers a submission where a milter may not change %s: it would leave uncovered",
    async (_what, actions) => {
      await at.milter.quit();
      at.milter = await connectMilter(at.path, { ...postfixOffer, actions });
      await at.milter.session("submission");
      expect(await at.submit(await encryptedMail({ from: alice, to: bob }))).toBe(
        "reply 451 4.3.5 Server configuration problem",
      );
      expect(at.milter.changes).toEqual([]);
      // What needs no change passes.
      await at.milter.session("mx");
      expect(await at.receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
        "continue",
      );
    },
  );

  it.each([
    [postfixOffer, "< skip"],
    [{ ...postfixOffer, steps: 0x1ffbff }, "< continue"],
  ])("wants no more of a body that decides nothing", async (offer, answer) => {
    await at.milter.quit();
    at.milter = await connectMilter(at.path, offer);
    await at.milter.session("mx", "192.0.2.1");
    const report = plainMail({ from: "mailer-daemon@[192.0.2.1]", to: alice }, "x\r\n".repeat(60_000))
      .replace("text/plain; charset=utf-8", 'multipart/report; boundary="b"')
      .replace("MIME-Version", "Auto-Submitted: auto-replied\r\nMIME-Version");
    expect(await at.receive(report, "<>")).toBe("continue");
    const pieces = answer === "< skip" ? 1 : 3;
    expect(at.milter.transcript.slice(5)).toEqual([
      "< continue",
      ...Array(pieces).fill(answer),
      "< continue",
    ]);
  });

  it("answers each command for a mail server that wants it so, with values without leading space", async () => {
    await at.milter.quit();
    at.milter = await connectMilter(at.path, { ...postfixOffer, steps: 0 });
    await at.milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    expect(await at.submit(text)).toBe("continue");
    const { results } = await dkimVerify(applyChanges(Buffer.from(text), withSpace(at.milter)), {
      resolver: resolveTxt,
    });
    expect(results[0]?.status.result).toBe("pass");
  });
});

/** Postfix adds the space itself when the milter did not ask for values with it. */
function withSpace(milter: MilterClient) {
  return milter.changes.map(({ command, data }) => {
    if (command === "h") {
      const [name, value] = data.toString("latin1").split("\0");
      return { command, data: Buffer.from(`${name}\0 ${value}\0`, "latin1") };
    }
    const [name = "", value = ""] = data.subarray(4).toString("latin1").split("\0");
    const spaced = value === "" ? "" : ` ${value}`;
    return {
      command,
      data: Buffer.concat([data.subarray(0, 4), Buffer.from(`${name}\0${spaced}\0`, "latin1")]),
    };
  });
}
