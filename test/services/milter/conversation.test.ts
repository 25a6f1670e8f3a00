/** Whole conversations between Postfix's side of the protocol and the milter, over a real unix socket. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { type RunningConnection, serveConnection } from "../../../services/milter/connection.ts";
import { lookupLimits } from "../../../services/milter/key-lookup.ts";
import type { MessageHandler } from "../../../services/milter/message.ts";
import { createRateLimit } from "../../../services/milter/rate-limit.ts";
import { createRules } from "../../../services/milter/rules.ts";
import { encryptedMail, makeSigningKey, plainMail, type SigningKey, signMail } from "../../support/mail.ts";
import { applyChanges, connectMilter, type MilterClient, postfixOffer, strings } from "./milter-client.ts";

const alice = "alice1234@a.test";
const bob = "bobby1234@b.test";
const ours = makeSigningKey("a.test", "homing1");
const theirs = makeSigningKey("b.test", "homing1");

function dkimRecord({ privateKeyPem }: SigningKey): string {
  const key = createPublicKey(privateKeyPem).export({ type: "spki", format: "der" });
  return `v=DKIM1;k=rsa;p=${key.toString("base64")};s=email;t=s`;
}

/** Answers like a name server that knows both relays; `down.test` never answers. */
async function resolveTxt(name: string): Promise<string[][]> {
  const domains = new Map(
    [ours, theirs].map((key) => [`${key.selector}._domainkey.${key.domain}`, dkimRecord(key)]),
  );
  const record = domains.get(name);
  if (record !== undefined) return [[record]];
  const code = name.endsWith("down.test") ? "ETIMEOUT" : "ENOTFOUND";
  throw Object.assign(new Error(`query of ${name}: ${code}`), { code });
}

describe("a milter connection", () => {
  let folder: string;
  let server: Server;
  let path: string;
  let log: string[];
  let clock: number;
  let sessions: RunningConnection[];
  let milter: MilterClient;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-milter-"));
    path = join(folder, "milter.sock");
    log = [];
    clock = 0;
    sessions = [];
    const daemons = createRules({
      key: () => ({
        domain: ours.domain,
        selector: ours.selector,
        key: createPrivateKey(ours.privateKeyPem),
      }),
      rateLimit: createRateLimit({ perMinute: 60, burst: 3 }),
      resolveTxt,
      now: () => clock,
    });
    const failing: MessageHandler = {
      recipient() {},
      header() {},
      endOfHeader: () => "more",
      body() {
        throw new Error("a bug");
      },
      end: () => Promise.reject(new Error("never reached")),
    };
    const all = new Map([...daemons, ["failing", () => failing] as const]);
    const options = { daemons: all, log: createLog((line) => log.push(line), false) };
    server = createServer((socket) => sessions.push(serveConnection(socket, options)));
    server.listen(path);
    await once(server, "listening");
    milter = await connectMilter(path);
  });
  afterEach(async () => {
    await milter.quit();
    await Promise.all(sessions.map(({ done }) => done));
    server.close();
    await once(server, "close");
    await rm(folder, { recursive: true });
  });

  const submit = (
    text: string | Buffer,
    overrides: Partial<{ from: string; to: string[]; login: string }> = {},
  ) => milter.message({ from: `<${alice}>`, to: [`<${bob}>`], login: alice, text, ...overrides });

  const receive = (text: string | Buffer, from = `<${bob}>`) =>
    milter.message({ from, to: [`<${alice}>`], text });

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
    await milter.session("submission");
    expect(await submit(text)).toBe("continue");
    expect(milter.transcript).toEqual([
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
    const received = applyChanges(Buffer.from(text), milter.changes);
    const { results } = await dkimVerify(received, { resolver: resolveTxt });
    expect(results.map(({ signingDomain, status }) => [signingDomain, status.result])).toEqual([
      ["a.test", "pass"],
    ]);
    const header = received.toString().split("\r\n\r\n", 1)[0];
    expect(header).toMatch(/\r\nSubject: \[\.\.\.\]\r\n/);
    expect(header).not.toMatch(/Secret|phone|laptop|real subject/);
  });

  it("refuses a submission without encryption and goes on with the next message", async () => {
    await milter.session("submission");
    expect(await submit(plainMail({ from: alice, to: bob }))).toBe(
      "reply 523 Encryption Needed: Invalid Unencrypted Mail",
    );
    expect(await submit(await encryptedMail({ from: alice, to: bob }))).toBe("continue");
    expect(log.join("")).toContain("the message is text/plain");
  });

  it("refuses a forged From", async () => {
    await milter.session("smtps");
    expect(await submit(await encryptedMail({ from: "mallory12@a.test", to: bob }))).toBe(
      `reply 500 Invalid FROM <mallory12@a.test> for <${alice}>`,
    );
  });

  it("refuses an envelope sender that is not the login at MAIL FROM", async () => {
    await milter.session("submission");
    expect(await submit("", { from: "<mallory12@a.test>" })).toBe(
      `reply 553 5.7.1 <mallory12@a.test>: Sender address rejected: not owned by user ${alice}`,
    );
    expect(milter.transcript.at(-1)).toMatch(/^< reply 553/);
    expect(milter.transcript).toHaveLength(3);
  });

  it("refuses a submission without login", async () => {
    await milter.session("submission");
    expect(await milter.message({ from: `<${alice}>`, to: [`<${bob}>`], text: "" })).toBe(
      "reply 530 5.7.0 Authentication required",
    );
  });

  it("lets an account send again once its rate allows", async () => {
    await milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    for (let sent = 0; sent < 3; sent++) expect(await submit(text)).toBe("continue");
    expect(await submit(text)).toBe(`reply 450 4.7.1: Too much mail from ${alice}`);
    clock += 999;
    expect(await submit(text)).toMatch(/^reply 450/);
    clock += 1;
    expect(await submit(text)).toBe("continue");
  });

  it("signs a bounce of Postfix, sent with a bare null sender and no login", async () => {
    await milter.session("bounce", "127.0.0.1");
    const text = plainMail({ from: "MAILER-DAEMON@a.test", to: alice }).replace(
      "Subject: [...]",
      "Subject: Undelivered",
    );
    expect(await milter.message({ from: "", to: [alice], text })).toBe("continue");
    const received = applyChanges(Buffer.from(text), milter.changes);
    const { results } = await dkimVerify(received, { resolver: resolveTxt });
    expect(results[0]?.status.result).toBe("pass");
    expect(received.toString()).toContain("Subject: Undelivered");
  });

  it("takes signed and encrypted mail from another relay and changes nothing", async () => {
    await milter.session("mx");
    expect(await receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
      "continue",
    );
    expect(milter.changes).toEqual([]);
  });

  it("empties an envelope sender that is not the From address", async () => {
    await milter.session("mx");
    await receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs), "<list@b.test>");
    expect(milter.transcript.slice(-2)).toEqual(["< sender <>", "< continue"]);
  });

  it("refuses incoming mail that is unencrypted, unsigned, wrongly signed or signed by somebody else", async () => {
    await milter.session("mx");
    const text = await encryptedMail({ from: bob, to: alice });
    const signed = await signMail(text, theirs);
    expect(await receive(await signMail(plainMail({ from: bob, to: alice }), theirs))).toMatch(/^reply 523 /);
    expect(await receive(text)).toBe("reply 554 5.7.1 No DKIM signature found");
    expect(await receive(signed.replace("\r\nTo: ", "\r\nTo: x"))).toBe(
      "reply 554 5.7.1 No valid DKIM signature found",
    );
    expect(await receive(await signMail(text, ours))).toBe("reply 554 5.7.1 No valid DKIM signature found");
  });

  it("asks mail that claims to be from our own domain for DKIM like any other", async () => {
    await milter.session("mx");
    expect(await receive(await encryptedMail({ from: alice, to: alice }), `<${alice}>`)).toMatch(
      /^reply 554 /,
    );
  });

  it("defers mail whose DKIM key cannot be looked up now", async () => {
    await milter.session("mx");
    const signed = await signMail(
      await encryptedMail({ from: "carol1234@down.test", to: alice }),
      makeSigningKey("down.test", "s"),
    );
    expect(await receive(signed, "<carol1234@down.test>")).toBe(
      "reply 451 4.4.3 DKIM key lookup failed, try again later",
    );
  });

  it("defers who makes selectors up, and takes the first real mail of that domain from elsewhere", async () => {
    const source = await encryptedMail({ from: bob, to: alice });
    await milter.session("mx", "2001:db8:6:6::1");
    const answers: string[] = [];
    for (let number = 0; number <= lookupLimits.unknownNames.burst; number++) {
      answers.push(await receive(await signMail(source, { ...theirs, selector: `x${number}` })));
    }
    expect(answers.pop()).toBe("reply 451 4.4.3 DKIM key lookup failed, try again later");
    expect(new Set(answers)).toEqual(new Set(["reply 554 5.7.1 No valid DKIM signature found"]));
    const real = await signMail(source, theirs);
    await milter.session("mx", "2001:db8:6:6:ffff::2");
    expect(await receive(real)).toBe("reply 451 4.4.3 DKIM key lookup failed, try again later");
    await milter.session("mx", "2001:db8:6:7::1");
    expect(await receive(real)).toBe("continue");
  });

  it("takes mail from an address literal only from that address", async () => {
    const text = await encryptedMail({ from: "dave12345@[192.0.2.1]", to: alice });
    await milter.session("mx", "192.0.2.1");
    expect(await receive(text, "<dave12345@[192.0.2.1]>")).toBe("continue");
    await milter.session("mx", "192.0.2.2");
    expect(await receive(text, "<dave12345@[192.0.2.1]>")).toMatch(/^reply 554 5\.7\.1 Address literal/);
  });

  it("compares IPv6 literals by meaning", async () => {
    await milter.session("mx", "2001:db8::1");
    const text = await encryptedMail({ from: "dave12345@[IPv6:2001:DB8:0:0::1]", to: alice });
    expect(await receive(text, "<dave12345@[IPv6:2001:DB8:0:0::1]>")).toBe("continue");
  });

  it("forgets an aborted message", async () => {
    await milter.session("submission");
    milter.macros("M", { auth_authen: alice });
    expect(await milter.command("M", strings(`<${alice}>`))).toBe("continue");
    await milter.command("L", Buffer.from("From\0 <mallory@a.test>\0"), false);
    await milter.command("A", undefined, false);
    expect(await submit(await encryptedMail({ from: alice, to: bob }))).toBe("continue");
  });

  it("knows what is new when one connection serves another SMTP session", async () => {
    await milter.session("submission");
    await milter.command("K", undefined, false);
    await milter.session("mx");
    expect(await receive(await encryptedMail({ from: bob, to: alice }))).toMatch(/^reply 554 /);
  });

  describe("with a mail server of version 2, which has no INSHEADER, no CHGFROM and no answer to leave out", () => {
    beforeEach(async () => {
      await milter.quit();
      milter = await connectMilter(path, { version: 2, actions: 0x3f, steps: 0x7f });
    });

    it("covers and signs, with the signature at the end of the header", async () => {
      await milter.session("submission");
      const text = await encryptedMail({ from: alice, to: bob, headers: ["User-Agent: Secret"] });
      expect(await submit(text)).toBe("continue");
      expect(milter.transcript).toEqual([
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
      const { results } = await dkimVerify(applyChanges(Buffer.from(text), withSpace(milter)), {
        resolver: resolveTxt,
      });
      expect(results[0]?.status.result).toBe("pass");
    });

    it("takes mail that needs no change, and defers what needs an empty envelope sender", async () => {
      await milter.session("mx");
      const text = await signMail(await encryptedMail({ from: bob, to: alice }), theirs);
      expect(await receive(text)).toBe("continue");
      expect(await receive(text, "<list@b.test>")).toBe("reply 451 4.3.5 Server configuration problem");
      expect(log.join("")).toContain("does not let a milter change");
    });
  });

  it.each([
    ["headers", 0x01],
    ["anything", 0],
  ])(
    "defers a submission where a milter may not change %s: it would leave uncovered",
    async (_what, actions) => {
      await milter.quit();
      milter = await connectMilter(path, { ...postfixOffer, actions });
      await milter.session("submission");
      expect(await submit(await encryptedMail({ from: alice, to: bob }))).toBe(
        "reply 451 4.3.5 Server configuration problem",
      );
      expect(milter.changes).toEqual([]);
      // What needs no change passes.
      await milter.session("mx");
      expect(await receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
        "continue",
      );
    },
  );

  it("refuses at the end of the header what cannot be saved by its body", async () => {
    await milter.session("submission");
    await submit(plainMail({ from: alice, to: bob }, "x".repeat(200_000)));
    expect(milter.transcript.slice(3)).toEqual([
      `> RCPT <${bob}>`,
      "> message of 7 header fields",
      "< reply 523 Encryption Needed: Invalid Unencrypted Mail",
    ]);
  });

  it("refuses at the first piece of the body that shows it", async () => {
    await milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    const pretended = text.replace("-----BEGIN PGP MESSAGE-----", `${"x".repeat(70)}\r\n`.repeat(10_000));
    await submit(pretended);
    expect(milter.transcript.slice(3)).toEqual([
      `> RCPT <${bob}>`,
      "> message of 7 header fields",
      "< continue",
      "< reply 523 Encryption Needed: Invalid Unencrypted Mail",
    ]);
  });

  it.each([
    [postfixOffer, "< skip"],
    [{ ...postfixOffer, steps: 0x1ffbff }, "< continue"],
  ])("wants no more of a body that decides nothing", async (offer, answer) => {
    await milter.quit();
    milter = await connectMilter(path, offer);
    await milter.session("mx", "192.0.2.1");
    const report = plainMail({ from: "mailer-daemon@[192.0.2.1]", to: alice }, "x\r\n".repeat(60_000))
      .replace("text/plain; charset=utf-8", 'multipart/report; boundary="b"')
      .replace("MIME-Version", "Auto-Submitted: auto-replied\r\nMIME-Version");
    expect(await receive(report, "<>")).toBe("continue");
    const pieces = answer === "< skip" ? 1 : 3;
    expect(milter.transcript.slice(5)).toEqual(["< continue", ...Array(pieces).fill(answer), "< continue"]);
  });

  it("answers each command for a mail server that wants it so, with values without leading space", async () => {
    await milter.quit();
    milter = await connectMilter(path, { ...postfixOffer, steps: 0 });
    await milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    expect(await submit(text)).toBe("continue");
    const { results } = await dkimVerify(applyChanges(Buffer.from(text), withSpace(milter)), {
      resolver: resolveTxt,
    });
    expect(results[0]?.status.result).toBe("pass");
  });

  it("defers mail from a daemon it does not know", async () => {
    await milter.session("surprise");
    expect(await receive("")).toBe("reply 451 4.3.5 Server configuration problem");
  });

  it("refuses a header of more than a thousand fields", async () => {
    await milter.session("mx");
    const headers = Array.from({ length: 1000 }, (_, index) => `X-Filler-${index}: x`);
    expect(await receive(await encryptedMail({ from: bob, to: alice, headers }))).toBe(
      "reply 552 5.3.4 Message header exceeds maximum size",
    );
  });

  it("closes a connection that does not speak the protocol, and says so in the log", async () => {
    const stranger = await connectMilter(path);
    await stranger.command("?", undefined, false);
    await stranger.closed();
    expect(log.join("")).toContain("MilterProtocolError");
  });

  it("defers a message that it fails to judge, logs why and goes on", async () => {
    await milter.session("failing");
    expect(await receive("From: x\r\n\r\nhello\r\n")).toBe("reply 451 4.3.0 Internal error, try again later");
    expect(log.join("")).toMatch(/^<3>a message could not be judged daemon=failing .*a bug/);
    await milter.session("mx");
    expect(await receive(await signMail(await encryptedMail({ from: bob, to: alice }), theirs))).toBe(
      "continue",
    );
  });

  it("never takes one message's login for the next", async () => {
    await milter.session("submission");
    await submit(await encryptedMail({ from: alice, to: bob }));
    expect(await milter.command("M", strings(`<${alice}>`))).toMatch(/^reply 530 /);
  });

  it("finishes the message under way when the service stops", async () => {
    await milter.session("submission");
    const text = await encryptedMail({ from: alice, to: bob });
    milter.macros("M", { auth_authen: alice });
    await milter.command("M", strings(`<${alice}>`));
    for (const session of sessions) session.finish();
    const fields = text
      .split("\r\n\r\n", 1)[0]!
      .replace(/\r\n(?=[ \t])/g, "\n")
      .split("\r\n");
    for (const field of fields) {
      const colon = field.indexOf(":");
      await milter.command("L", strings(field.slice(0, colon), field.slice(colon + 1)), false);
    }
    expect(await milter.command("B", Buffer.from(text.slice(text.indexOf("\r\n\r\n") + 4)))).toBe("continue");
    expect(await milter.command("E")).toBe("continue");
    await milter.closed();
    await sessions[0]!.done;
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
