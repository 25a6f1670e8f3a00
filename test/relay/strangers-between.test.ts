/**
 * Strangers between the relay and another mail server: who strips STARTTLS, or shows a certificate of his own.
 * Mail waits in the queue; not even its envelope is told. (Inwards: strangers-tls.test.ts.)
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { relayRecords } from "../../appliance/dns/records.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { encryptedMail } from "../support/mail.ts";
import { type MailSink, type MailSinkOptions, startMailSink } from "../support/mail-sink.ts";
import { addClientAddresses } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const TIMEOUT = 60_000;
/** What the certificates that are trusted are added to (smtp_tls_CAfile, appliance/files/postfix-main.ts). */
const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";

/** The way to a domain of which nothing is known (appliance/mail-routes.ts), and that to one which takes SMTP. */
const smtpClient = /^postfix\/(outgoing-first\/)?smtp$/;

type Peer = MailSinkOptions & Readonly<{ isTrusted?: boolean }>;

/** Other mail servers by domain. Names that begin with "_" are for tests: any certificate will do for them. */
const peers = {
  "_stripped.test": { startTls: "hidden" },
  "stripped.test": { startTls: "hidden", isTrusted: true },
  "_refusing.test": { startTls: "refused" },
  "self-signed.test": {},
  "wrong-name.test": { certificateName: "somebody-else.test", isTrusted: true },
  "good.test": { isTrusted: true },
  "_patient.test": { startTls: "hidden" },
} as const satisfies Record<string, Peer>;
type PeerDomain = keyof typeof peers;

describeRelays("strangers between two servers", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  const sinks = new Map<string, MailSink>();
  const addresses = new Map<string, string>();
  let alice: Account;

  const start = async (domain: PeerDomain, options: Peer) => {
    const sink = await startMailSink(addresses.get(domain)!, domain, options);
    sinks.set(domain, sink);
    return sink;
  };
  beforeAll(async () => {
    const free = await addClientAddresses(Object.keys(peers).length);
    const trusted: string[] = [];
    for (const [domain, options] of Object.entries(peers) as [PeerDomain, Peer][]) {
      const address = free[addresses.size]!;
      addresses.set(domain, address);
      await ring.network().publish(relayRecords({ domain, dkim: [], addresses: [address] }));
      const sink = await start(domain, options);
      if (options.isTrusted) trusted.push(sink.certificate);
    }
    await relay().exec(`cat >> ${AUTHORITIES} <<'END'\n${trusted.join("")}END\nsystemctl restart postfix`);
    alice = await makeAccount(relay());
  });
  afterAll(async () => {
    for (const sink of sinks.values()) await sink[Symbol.asyncDispose]();
  });

  const sendTo = async (domain: string) => {
    const to = `friend@${domain}`;
    await using session = await waitFor("Postfix answers", TIMEOUT, () =>
      openSubmission(relay().address, alice.address, alice.password),
    );
    const source = await encryptedMail({ from: alice.address, to });
    expect(await session.send({ from: alice.address, to: [to], source })).toMatchObject({ code: 250 });
  };
  /** Of Postfix's own SMTP client, which goes on to the domain itself since nobody answers by HTTPS. */
  const outcome = (domain: string) =>
    waitFor(`the outcome for ${domain}`, TIMEOUT, async () => {
      const entries = await relay().logEntries(new RegExp(`to=<friend@${domain}>.* status=`));
      const bySmtp = entries.filter(({ source }) => smtpClient.test(source)).at(-1)?.message;
      return bySmtp === undefined
        ? undefined
        : { id: bySmtp.split(":")[0]!, status: bySmtp.replace(/^.* status=/, "") };
    });
  const queued = async (domain: string) => {
    const { stdout } = await relay().exec("postqueue -j");
    return stdout.split("\n").filter((line) => line.includes(`"friend@${domain}"`)).length;
  };
  /** The verbs that were heard, without those of a connection's beginning. */
  const toldOf = (domain: string) =>
    sinks
      .get(domain)!
      .heard()
      .map(({ line }) => line.split(/[ :]/)[0]!.toUpperCase())
      .filter((verb) => !["EHLO", "STARTTLS", "QUIT"].includes(verb));

  it("mail goes to a server whose certificate names it and is trusted, all of it over TLS", async () => {
    await sendTo("good.test");
    expect((await outcome("good.test")).status).toMatch(/^sent /);
    const said = sinks.get("good.test")!.heard();
    expect(said.filter(({ tls }) => !tls).map(({ line }) => line)).toEqual(["EHLO _a.test", "STARTTLS"]);
    expect(toldOf("good.test")).toEqual(["MAIL", "RCPT", "DATA"]);
  });

  it.each([
    ["that offers no TLS", "stripped.test", /TLS is required, but was not offered/],
    [
      "that offers no TLS, though its name is a test's",
      "_stripped.test",
      /TLS is required, but was not offered/,
    ],
    ["that offers TLS and then refuses it", "_refusing.test", /TLS is required, but/],
    ["whose certificate nobody vouches for", "self-signed.test", /certificate not verified/],
    ["whose certificate is another's", "wrong-name.test", /certificate not verified/],
  ])("a server %s is told nothing, and its mail waits", async (_what, domain, reason) => {
    await sendTo(domain);
    const { id, status } = await outcome(domain);
    expect(status).toMatch(/^deferred .*neither by SMTP nor by HTTPS/);
    const said = await relay().logEntries(new RegExp(`^${id}: `));
    expect(said.map(({ message }) => message).join("\n")).toMatch(reason);
    expect(sinks.get(domain)!.heard()).not.toEqual([]);
    expect(toldOf(domain)).toEqual([]);
    expect(await queued(domain)).toBe(1);
  });

  it("mail that waited goes out when the stranger has gone", async () => {
    const domain = "_patient.test";
    await sendTo(domain);
    expect((await outcome(domain)).status).toMatch(/^deferred /);
    await sinks.get(domain)![Symbol.asyncDispose]();
    const sink = await start(domain, {});
    await relay().exec("postqueue -f");
    expect(await sink.waitForMail("the message that waited", () => true)).toMatchObject({ tls: true });
  });
});
