/** Whole conversations between Postfix's side of the protocol and the milter, over a real unix socket. */
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { describe, expect, it } from "vitest";
import { lookupLimits } from "../../../services/milter/key-lookup.ts";
import { encryptedMail, makeSigningKey, plainMail, signMail } from "../../support/mail.ts";
import { applyChanges, connectMilter, strings } from "./milter-client.ts";
import { alice, bob, ours, resolveTxt, theirs, useMilter } from "./running-conversation.ts";

describe("a milter connection", () => {
  const at = useMilter();

  it("covers and signs an encrypted submission so that the other side can verify it", async () => {
    const headers = [
      "X-Mailer: Secret 1.0",
      "Received: from phone",
      "User-Agent: Secret",
      "Received: from laptop",
    ];
    const text = (await encryptedMail({ from: alice, to: bob, headers })).replace(
      "[...]",
      "The real subject",
    );
    await at.milter.session("submission");
    expect(await at.submit(text)).toBe("continue");
    expect(at.milter.transcript).toEqual([
      "> CONNECT submission 192.0.2.1",
      `> MAIL <${alice}>`,
      "< continue",
      `> RCPT <${bob}>`,
      "> message of 11 header fields",
      "< continue",
      "< continue",
      "< change Received 2 “”",
      "< change User-Agent 1 “”",
      "< change Received 1 “”",
      "< change X-Mailer 1 “”",
      "< change Subject 1 “ [...]”",
      "< insert DKIM-Signature",
      "< continue",
    ]);
    const received = applyChanges(Buffer.from(text), at.milter.changes);
    const { results } = await dkimVerify(received, { resolver: resolveTxt });
    expect(results.map(({ signingDomain, status }) => [signingDomain, status.result])).toEqual([
      ["a.test", "pass"],
    ]);
    const header = received.toString().split("\r\n\r\n", 1)[0];
    expect(header).toMatch(/\r\nSubject: \[\.\.\.\]\r\n/);
    expect(header).not.toMatch(/Secret|phone|laptop|real subject/);
  });

  it("refuses a submission without encryption and goes on with the next message", async () => {
    await at.milter.session("submission");
    expect(await at.submit(plainMail({ from: alice, to: bob }))).toBe(
      "reply 523 Encryption Needed: Invalid Unencrypted Mail",
    );
    expect(await at.submit(await encryptedMail({ from: alice, to: bob }))).toBe("continue");
    expect(at.log.join("")).toContain("the message is text/plain");
  });

  it("counts its verdicts by door and reason, and how long they took", async () => {
    // What grows from nothing grows by nothing for Prometheus: what an alert waits for begins at 0.
    for (const door of ["mx", "submission", "smtps", "bounce", "unknown"])
      for (const outcome of ["internal_error", "misconfigured"])
        expect(at.counters.text()).toContain(
          `homing_filter_verdicts_total{door="${door}",outcome="${outcome}"} 0\n`,
        );
    await at.milter.session("submission");
    await at.submit(plainMail({ from: alice, to: bob }));
    await at.submit("", { from: "<mallory12@a.test>" });
    await at.submit(await encryptedMail({ from: alice, to: bob }));
    await at.milter.session("a door that has no rules");
    await at.submit("");
    const text = at.counters.text();
    for (const [door, outcome] of [
      ["submission", "unencrypted"],
      ["submission", "sender"],
      ["submission", "accepted"],
      ["unknown", "misconfigured"],
    ])
      expect(text).toContain(`homing_filter_verdicts_total{door="${door}",outcome="${outcome}"} 1\n`);
    // The refused ones were decided before their ends, or had none.
    expect(text).toMatch(/^homing_filter_decision_seconds_count\{door="submission"\} 1$/m);
    expect(text).toMatch(/^homing_filter_decision_seconds_bucket\{door="submission",le="\+Inf"\} 1$/m);
    expect(text).not.toMatch(/mallory|alice/);
  });

  it("does not count what the canary sends, and all that others do", async () => {
    const canary = "homing-canary-abc@a.test";
    const its = { from: `<${canary}>`, login: canary };
    await at.milter.session("smtps");
    expect(await at.submit(await encryptedMail({ from: canary, to: canary }), its)).toMatch(/continue$/);
    expect(await at.submit(plainMail({ from: canary, to: bob }), its)).toMatch(/^reply 523 /);
    expect(at.counters.text()).not.toMatch(/door="smtps",outcome="(?:accepted|unencrypted)"|_seconds_count/);
    await at.submit("", { from: `<${canary}>` });
    await at.submit(await encryptedMail({ from: alice, to: canary }), { to: [`<${canary}>`] });
    const text = at.counters.text();
    for (const outcome of ["sender", "accepted"])
      expect(text).toContain(`homing_filter_verdicts_total{door="smtps",outcome="${outcome}"} 1\n`);
    expect(text).toMatch(/^homing_filter_decision_seconds_count\{door="smtps"\} 1$/m);
  });

  it("refuses a forged From", async () => {
    await at.milter.session("smtps");
    expect(await at.submit(await encryptedMail({ from: "mallory12@a.test", to: bob }))).toBe(
      `reply 500 Invalid FROM <mallory12@a.test> for <${alice}>`,
    );
  });

  it("refuses an envelope sender that is not the login at MAIL FROM", async () => {
    await at.milter.session("submission");
    expect(await at.submit("", { from: "<mallory12@a.test>" })).toBe(
      `reply 553 5.7.1 <mallory12@a.test>: Sender address rejected: not owned by user ${alice}`,
    );
    expect(at.milter.transcript.at(-1)).toMatch(/^< reply 553/);
    expect(at.milter.transcript).toHaveLength(3);
  });

  it("refuses a submission without login", async () => {
    await at.milter.session("submission");
    expect(await at.milter.message({ from: `<${alice}>`, to: [`<${bob}>`], text: "" })).toBe(
      "reply 530 5.7.0 Authentication required",
    );
  });

  it("lets an account send again once its rate allows", async () => {
    await at.milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    for (let sent = 0; sent < 3; sent++) expect(await at.submit(text)).toBe("continue");
    expect(await at.submit(text)).toBe(`reply 450 4.7.1: Too much mail from ${alice}`);
    at.clock += 999;
    expect(await at.submit(text)).toMatch(/^reply 450/);
    at.clock += 1;
    expect(await at.submit(text)).toBe("continue");
  });

  it("signs a bounce of Postfix, sent with a bare null sender and no login", async () => {
    await at.milter.session("bounce", "127.0.0.1");
    const text = plainMail({ from: "MAILER-DAEMON@a.test", to: alice }).replace(
      "Subject: [...]",
      "Subject: Undelivered",
    );
    expect(await at.milter.message({ from: "", to: [alice], text })).toBe("continue");
    const received = applyChanges(Buffer.from(text), at.milter.changes);
    const { results } = await dkimVerify(received, { resolver: resolveTxt });
    expect(results[0]?.status.result).toBe("pass");
    expect(received.toString()).toContain("Subject: Undelivered");
  });

  it("takes signed and encrypted mail from another relay and changes nothing", async () => {
    await at.milter.session("mx");
    expect(await at.receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
      "continue",
    );
    expect(at.milter.changes).toEqual([]);
  });

  it("empties an envelope sender that is not the From address", async () => {
    await at.milter.session("mx");
    await at.receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs), "<list@b.test>");
    expect(at.milter.transcript.slice(-2)).toEqual(["< sender <>", "< continue"]);
  });

  it("refuses incoming mail that is unencrypted, unsigned, wrongly signed or signed by somebody else", async () => {
    await at.milter.session("mx");
    const text = await encryptedMail({ from: bob, to: alice });
    const signed = await signMail(text, theirs);
    expect(await at.receive(await signMail(plainMail({ from: bob, to: alice }), theirs))).toMatch(
      /^reply 523 /,
    );
    expect(await at.receive(text)).toBe("reply 554 5.7.1 No DKIM signature found");
    expect(await at.receive(signed.replace("\r\nTo: ", "\r\nTo: x"))).toBe(
      "reply 554 5.7.1 No valid DKIM signature found",
    );
    expect(await at.receive(await signMail(text, ours))).toBe(
      "reply 554 5.7.1 No valid DKIM signature found",
    );
  });

  it("asks mail that claims to be from our own domain for DKIM like any other", async () => {
    await at.milter.session("mx");
    expect(await at.receive(await encryptedMail({ from: alice, to: alice }), `<${alice}>`)).toMatch(
      /^reply 554 /,
    );
  });

  it("defers mail whose DKIM key cannot be looked up now", async () => {
    await at.milter.session("mx");
    const signed = await signMail(
      await encryptedMail({ from: "carol1234@down.test", to: alice }),
      makeSigningKey("down.test", "s"),
    );
    expect(await at.receive(signed, "<carol1234@down.test>")).toBe(
      "reply 451 4.4.3 DKIM key lookup failed, try again later",
    );
  });

  it("defers who makes selectors up, and takes the first real mail of that domain from elsewhere", async () => {
    const source = await encryptedMail({ from: bob, to: alice });
    await at.milter.session("mx", "2001:db8:6:6::1");
    const answers: string[] = [];
    for (let number = 0; number <= lookupLimits.unknownNames.burst; number++) {
      answers.push(await at.receive(await signMail(source, { ...theirs, selector: `x${number}` })));
    }
    expect(answers.pop()).toBe("reply 451 4.4.3 DKIM key lookup failed, try again later");
    expect(new Set(answers)).toEqual(new Set(["reply 554 5.7.1 No valid DKIM signature found"]));
    const real = await signMail(source, theirs);
    await at.milter.session("mx", "2001:db8:6:6:ffff::2");
    expect(await at.receive(real)).toBe("reply 451 4.4.3 DKIM key lookup failed, try again later");
    await at.milter.session("mx", "2001:db8:6:7::1");
    expect(await at.receive(real)).toBe("continue");
  });

  it("takes mail from an address literal only from that address", async () => {
    const text = await encryptedMail({ from: "dave12345@[192.0.2.1]", to: alice });
    await at.milter.session("mx", "192.0.2.1");
    expect(await at.receive(text, "<dave12345@[192.0.2.1]>")).toBe("continue");
    await at.milter.session("mx", "192.0.2.2");
    expect(await at.receive(text, "<dave12345@[192.0.2.1]>")).toMatch(/^reply 554 5\.7\.1 Address literal/);
  });

  it("compares IPv6 literals by meaning", async () => {
    await at.milter.session("mx", "2001:db8::1");
    const text = await encryptedMail({ from: "dave12345@[IPv6:2001:DB8:0:0::1]", to: alice });
    expect(await at.receive(text, "<dave12345@[IPv6:2001:DB8:0:0::1]>")).toBe("continue");
  });

  it("forgets an aborted message", async () => {
    await at.milter.session("submission");
    at.milter.macros("M", { auth_authen: alice });
    expect(await at.milter.command("M", strings(`<${alice}>`))).toBe("continue");
    await at.milter.command("L", Buffer.from("From\0 <mallory@a.test>\0"), false);
    await at.milter.command("A", undefined, false);
    expect(await at.submit(await encryptedMail({ from: alice, to: bob }))).toBe("continue");
  });

  it("knows what is new when one connection serves another SMTP session", async () => {
    await at.milter.session("submission");
    await at.milter.command("K", undefined, false);
    await at.milter.session("mx");
    expect(await at.receive(await encryptedMail({ from: bob, to: alice }))).toMatch(/^reply 554 /);
  });

  it("refuses at the end of the header what cannot be saved by its body", async () => {
    await at.milter.session("submission");
    await at.submit(plainMail({ from: alice, to: bob }, "x".repeat(200_000)));
    expect(at.milter.transcript.slice(3)).toEqual([
      `> RCPT <${bob}>`,
      "> message of 7 header fields",
      "< reply 523 Encryption Needed: Invalid Unencrypted Mail",
    ]);
  });

  it("refuses at the first piece of the body that shows it", async () => {
    await at.milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    const pretended = text.replace("-----BEGIN PGP MESSAGE-----", `${"x".repeat(70)}\r\n`.repeat(10_000));
    await at.submit(pretended);
    expect(at.milter.transcript.slice(3)).toEqual([
      `> RCPT <${bob}>`,
      "> message of 7 header fields",
      "< continue",
      "< reply 523 Encryption Needed: Invalid Unencrypted Mail",
    ]);
  });

  it("defers mail from a daemon it does not know", async () => {
    await at.milter.session("surprise");
    expect(await at.receive("")).toBe("reply 451 4.3.5 Server configuration problem");
  });

  it("refuses a header of more than a thousand fields", async () => {
    await at.milter.session("mx");
    const headers = Array.from({ length: 1000 }, (_, index) => `X-Filler-${index}: x`);
    expect(await at.receive(await encryptedMail({ from: bob, to: alice, headers }))).toBe(
      "reply 552 5.3.4 Message header exceeds maximum size",
    );
  });

  it("closes a connection that does not speak the protocol, and says so in the log", async () => {
    const stranger = await connectMilter(at.path);
    await stranger.command("?", undefined, false);
    await stranger.closed();
    expect(at.log.join("")).toContain("MilterProtocolError");
  });

  it("defers a message that it fails to judge, logs why and goes on", async () => {
    await at.milter.session("failing");
    expect(await at.receive("From: x\r\n\r\nhello\r\n")).toBe(
      "reply 451 4.3.0 Internal error, try again later",
    );
    expect(at.log.join("")).toMatch(/^<3>a message could not be judged daemon=failing .*a bug/);
    await at.milter.session("mx");
    expect(await at.receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
      "continue",
    );
  });

  it("never takes one message's login for the next", async () => {
    await at.milter.session("submission");
    await at.submit(await encryptedMail({ from: alice, to: bob }));
    expect(await at.milter.command("M", strings(`<${alice}>`))).toMatch(/^reply 530 /);
  });

  it("finishes the message under way when the service stops", async () => {
    await at.milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    at.milter.macros("M", { auth_authen: alice });
    await at.milter.command("M", strings(`<${alice}>`));
    for (const session of at.sessions) session.finish();
    const fields = text
      .split("\r\n\r\n", 1)[0]!
      .replace(/\r\n(?=[ \t])/g, "\n")
      .split("\r\n");
    for (const field of fields) {
      const colon = field.indexOf(":");
      await at.milter.command("L", strings(field.slice(0, colon), field.slice(colon + 1)), false);
    }
    expect(await at.milter.command("B", Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4)))).toBe(
      "continue",
    );
    expect(await at.milter.command("E")).toBe("continue");
    await at.milter.closed();
    await at.sessions[0]!.done;
  });
});
