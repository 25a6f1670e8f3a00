/** What clients expect of IMAP here: capabilities, metadata, and news of a message at once. */
import { beforeAll, expect, it } from "vitest";
import { relayRecords } from "../../appliance/dns/records.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { type ImapSession, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { CLIENT_ADDRESS } from "../support/network.ts";
import { startTestProxy } from "../support/notification-proxy.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** From the sender's "250" to the last request at the notification proxy. Milliseconds, as the median of so many messages. */
const PUSH_GOAL = 200;
const PUSHES = 9;
/** From "delivered" in the log to the notice at an idling client; stock Dovecot takes 500 ms longer. */
const IDLE_GOAL = 60;
const DELIVERIES = 15;
const PUSH_TIMEOUT = 20_000;

/** Full of what means something in dovecot.conf; and as the URI that it has to become. */
const CONTACT = 'https://help.test/a "b" %{user} 100%$SET:ssl$ENV:HOME %%';
const CONTACT_URI = "https://help.test/a%20%22b%22%20%25%7Buser%7D%20100%25%24SET:ssl%24ENV:HOME%20%25%25";

/** A name for tests, so that it is asked without TLS (appliance/push-settings.ts). */
const PROXY_DOMAIN = "_push.test";
const PROXY_PORT = 8089;

/** As the reference relay tells it. */
const APP = {
  ...{ sourceId: "gplay", versionInteger: 754, versionString: "2.57.0" },
  downloadUrl: "https://github.com/deltachat/deltachat-android/releases/download/v2.57.0/deltachat.apk",
};

const settings = {
  contact: CONTACT,
  sending: { perMinute: 600, burst: 100 },
  push: { proxyUrl: `http://${PROXY_DOMAIN}:${PROXY_PORT}/notify` },
  clients: {
    irohRelayUrl: "https://iroh.example.org/",
    appVersions: JSON.stringify({ clients: [{ clientId: "deltachat", sources: [APP] }] }),
  },
};

describeRelays("IMAP", { "_a.test": { settings } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let alice: Account;
  const open = (account: Account) => openInbox(relay().address, account.address, account.password);

  beforeAll(async () => {
    alice = await makeAccount(relay());
  });

  it("advertises what chatmail clients look for", async () => {
    await using session = await open(alice);
    const { untagged } = await session.command("CAPABILITY");
    const capabilities = untagged.join(" ").split(" ");
    for (const name of ["XCHATMAIL", "XDELTAPUSH", "IDLE", "METADATA", "QUOTA", "COMPRESS=DEFLATE"]) {
      expect(capabilities).toContain(name);
    }
  });

  it("answers the metadata that the core asks for", async () => {
    await using session = await open(alice);
    const keys = ["irohrelay", "turn", "maxsmtprecipients", "appversions"].map(
      (name) => `/shared/vendor/deltachat/${name}`,
    );
    const answer = await session.command(`GETMETADATA "" (/shared/comment /shared/admin ${keys.join(" ")})`);
    expect(answer.status).toBe("OK");
    const said = answer.untagged.join("\n");
    const { irohRelayUrl, appVersions } = settings.clients;
    // With quotes in it, a value comes as a literal (RFC 9051 §4.3).
    expect(said).toMatch(new RegExp(`/irohrelay (?:\\{\\d+\\}\\s+)?"?${irohRelayUrl}`));
    expect(said.replaceAll(/\r?\n/g, "\n")).toContain(`{${appVersions.length}}\n${appVersions}`);
    const recipients = /maxsmtprecipients (?:\{\d+\}\n)?"?(\d+)/.exec(said)?.[1];
    expect(recipients).toBe(String(relay().config.messages.maxRecipients));
  });

  it("tells how the operator can be reached, which nobody can change", async () => {
    await using session = await open(alice);
    const admin = async () => (await session.command('GETMETADATA "" /shared/admin')).untagged.join("\n");
    const answer = await admin();
    expect(answer).toContain(CONTACT_URI);
    const change = await session.command('SETMETADATA "" (/shared/admin "mailto:mallory@evil.test")');
    expect(change.status).toBe("NO");
    expect(await admin()).toBe(answer);
  });

  const setToken = async (account: Account, token: string) => {
    await using session = await open(account);
    const set = await session.command(
      `SETMETADATA INBOX (/private/devicetoken {${token.length}+}\r\n${token})`,
    );
    expect(`${set.status} ${set.text}`).toMatch(/^OK/);
  };

  it("keeps a push token for its account", async () => {
    const token = "fcm-some-token";
    const getToken = "GETMETADATA INBOX /private/devicetoken";
    await setToken(alice, token);
    await using later = await open(alice);
    expect((await later.command(getToken)).untagged.join("\n")).toContain(token);
    await using stranger = await open(await makeAccount(relay()));
    expect((await stranger.command(getToken)).untagged.join("\n")).not.toContain(token);
  });

  it(`wakes the phones of whoever gets mail from others within ${PUSH_GOAL} ms, with their tokens alone`, async () => {
    await ring
      .network()
      .publish(relayRecords({ domain: PROXY_DOMAIN, dkim: [], addresses: [CLIENT_ADDRESS] }));
    await using proxy = await startTestProxy({ address: CLIENT_ADDRESS, port: PROXY_PORT });
    const bob = await makeAccount(relay());
    await setToken(alice, "openpgp:alice");
    for (const token of ["openpgp:phone", "openpgp:tablet"]) await setToken(bob, token);
    await using sending = await openSubmission(relay().address, alice.address, alice.password);
    /** Milliseconds from the sender's 250 to the last request. */
    const delays: number[] = [];
    for (let i = 1; i <= PUSHES; i++) {
      // What she sends to herself as well comes from a phone that is awake.
      const to = [bob.address, alice.address];
      const source = await encryptedMail({ from: alice.address, to: bob.address });
      expect((await sending.send({ from: alice.address, to, source })).code).toBe(250);
      const sent = performance.timeOrigin + performance.now();
      await waitFor("the proxy is asked", PUSH_TIMEOUT, () => proxy.received.length === 2 * i);
      delays.push(Math.round(proxy.received.at(-1)!.at - sent));
    }
    expect(median(delays)).toBeLessThanOrEqual(PUSH_GOAL);
    expect(proxy.received.map(({ token }) => token)).not.toContain("openpgp:alice");
    expect(new Set(proxy.received.map(({ token }) => token))).toEqual(
      new Set(["openpgp:phone", "openpgp:tablet"]),
    );
    for (const { headers } of proxy.received) {
      expect(Object.keys(headers).sort()).toEqual(["connection", "content-length", "host"]);
    }
  });

  it("has a quota of the size that is set", async () => {
    await using session = await open(alice);
    const { untagged } = await session.command("GETQUOTAROOT INBOX");
    const kibibytes = Number(/STORAGE \d+ (\d+)/.exec(untagged.join())?.[1]);
    expect(kibibytes).toBe(Math.ceil(relay().config.messages.mailboxBytes / 1024));
  });

  it(`tells an idling client of a message within ${IDLE_GOAL} ms of its delivery`, async () => {
    const bob = await makeAccount(relay());
    await using receiving = await open(bob);
    await using sending = await openSubmission(relay().address, alice.address, alice.password);
    const arrivals = await deliver(receiving, async () => {
      const source = await encryptedMail({ from: alice.address, to: bob.address });
      expect((await sending.send({ from: alice.address, to: [bob.address], source })).code).toBe(250);
    });
    const delivered = await relay().logEntries(new RegExp(`to=<${bob.address}>.*status=sent`));
    expect(delivered).toHaveLength(DELIVERIES);
    const delays = arrivals.map((arrival, i) => arrival - delivered[i]!.time);
    expect(median(delays)).toBeLessThanOrEqual(IDLE_GOAL);
  });

  /** Moments of arrival, in milliseconds since 1970, of DELIVERIES messages sent one after the other. */
  async function deliver(receiving: ImapSession, send: () => Promise<void>): Promise<number[]> {
    const idle = await receiving.idle();
    const arrivals: number[] = [];
    for (let i = 0; i < DELIVERIES; i++) {
      const notice = idle.next();
      await send();
      arrivals.push(performance.timeOrigin + (await notice).at);
    }
    await idle.done();
    return arrivals;
  }
});

/** Of an odd number of them. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
