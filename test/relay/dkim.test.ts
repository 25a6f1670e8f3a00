/**
 * DKIM between two relays with real Postfix on both sides: messages as they arrive at the other one, judged there by
 * independent programs; and the change of a relay's key, with name servers that know it or do not yet.
 */

import { randomUUID } from "node:crypto";
import { resolveTxt } from "node:dns/promises";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { realResolvers } from "../../appliance/dns/published.ts";
import { type DnsRecord, relayRecords } from "../../appliance/dns/records.ts";
import { dataDirectory, dataPaths } from "../../appliance/layout.ts";
import { beginRotation, endRotation } from "../../installer/dkim-rotation.ts";
import { publicDkimKeys } from "../../installer/relay-folder.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { writeFiles } from "../support/container.ts";
import { dkimJudges } from "../support/dkim-judges.ts";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { fillMailbox } from "../support/full-mailbox.ts";
import { encryptedMail } from "../support/mail.ts";
import { addClientAddresses } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { describeRelays } from "../support/ring.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

/** A message of 30 MB is written, signed, sent and stored. */
const DELIVERY_TIMEOUT = 120_000;

/** Puts text that everybody may read before the first part; it is signed like all of the body. */
const withPreamble = (source: string, preamble: string) =>
  source.replace("\r\n\r\n", `\r\n\r\n${preamble}\r\n`);
const manyAddresses = Array.from(
  { length: 1400 },
  (_, number) => `\r\n\t<person-number-${number}-of-many@list.test>`,
);

const hardMails: [
  what: string,
  make: (from: string, to: string) => Promise<string>,
  /** Which arrive. */
  leastBytes?: number,
][] = [
  ["as clients send it", (from, to) => encryptedMail({ from, to })],
  [
    // Postfix keeps 100 kB of a header (header_size_limit).
    "with a header of 90 kB, folded",
    (from, to) =>
      encryptedMail({
        from,
        to,
        headers: [
          `Autocrypt: addr=${from}; keydata=${"\r\n  QUJDREVGR0g".repeat(3000)}`,
          `Cc: ${manyAddresses.slice(0, 1000).join(",")}`,
        ],
      }),
  ],
  [
    "with a body and names in eight bits",
    async (from, to) =>
      withPreamble(
        (await encryptedMail({ from, to })).replace("To: <", "To: Grüße <"),
        "Schöne Grüße \t an\talle  ",
      ),
  ],
  [
    "with dots at the beginnings of lines",
    async (from, to) => withPreamble(await encryptedMail({ from, to }), ".\r\n..\r\n.x"),
  ],
  [
    "with many empty lines at the end",
    async (from, to) => `${await encryptedMail({ from, to })}${"\r\n".repeat(400)}`,
  ],
  ["without a final line end", async (from, to) => (await encryptedMail({ from, to })).replace(/\r\n$/, "")],
  [
    "without Date and Message-ID",
    async (from, to) => (await encryptedMail({ from, to })).replace(/^(?:Date|Message-ID): .*\r\n/gm, ""),
  ],
  ["of 30 MB", (from, to) => encryptedMail({ from, to }, "x".repeat(22_300_000)), 30_000_000],
];

/** Room for the messages below, and soon full. */
const relays = { "_a.test": {}, "_b.test": { settings: { messages: { mailboxBytes: 40_000_000 } } } };

describeRelays("DKIM between relays", relays, (ring) => {
  let alice: Account;
  let bob: Account;

  beforeAll(async () => {
    alice = await makeAccount(ring.relay("_a.test"));
    bob = await makeAccount(ring.relay("_b.test"));
    // A relay takes signatures away when it delivers; here they are what is looked at.
    for (const domain of Object.keys(relays)) {
      await ring.relay(domain).exec("postconf -e lmtp_header_checks= && postfix reload");
    }
  });

  /** What lies in bob's mailbox with this Subject as it came over the wire, found by a mark in its To field. */
  const arrived = (account: Account, relay: Relay, mark: string) =>
    waitFor(`the message ${mark} for ${account.address}`, DELIVERY_TIMEOUT, async () => {
      const folder = join(
        relay.dataFolder,
        relative(dataDirectory, dataPaths.mail),
        account.address,
        "mail",
        "new",
      );
      for (const name of await readdir(folder)) {
        const stored = await readFile(join(folder, name));
        const bytes = stored[0] === 0x1f ? gunzipSync(stored) : stored;
        // Dovecot stores lines with LF alone.
        const text = bytes.toString("latin1").replace(/\r?\n/g, "\r\n");
        if (text.includes(mark)) return Buffer.from(text, "latin1");
      }
      return undefined;
    });

  const expectValid = async (message: Buffer, sender: Relay, selector = "homing1") => {
    const header = message.toString("latin1", 0, message.indexOf("\r\n\r\n"));
    expect(header.match(/^DKIM-Signature: /gm)).toHaveLength(1);
    const keys = await publishedKey(sender, selector);
    for (const { name, missing, judge } of dkimJudges) {
      if (missing === undefined) expect(await judge([message], keys), name).toEqual([true]);
    }
  };

  describe.each(hardMails)("a message %s", (what, make, leastBytes = 0) => {
    it("arrives with a signature that every judge finds valid", async () => {
      const mark = `mark-${what.replace(/\W/g, "")}`;
      const source = (await make(alice.address, bob.address)).replace(
        /^MIME-Version/m,
        `Chat-Version: ${mark}\r\nMIME-Version`,
      );
      await using session = await openSubmission(
        ring.relay("_a.test").address,
        alice.address,
        alice.password,
      );
      const sent = await session.send({ from: alice.address, to: [bob.address], source });
      expect(sent).toMatchObject({ code: 250 });
      // That it arrived says that the other relay's own milter found it valid.
      const message = await arrived(bob, ring.relay("_b.test"), mark);
      expect(message.length).toBeGreaterThanOrEqual(leastBytes);
      await expectValid(message, ring.relay("_a.test"));
    });
  });

  it("the report of a full mailbox comes from the other relay with a signature that every judge finds valid", async () => {
    const full = await makeAccount(ring.relay("_b.test"));
    await fillMailbox(ring.relay("_b.test"), full);
    const { address } = ring.relay("_a.test");
    await using session = await openSubmission(address, alice.address, alice.password);
    const source = await encryptedMail({ from: alice.address, to: full.address });
    expect(await session.send({ from: alice.address, to: [full.address], source })).toMatchObject({
      code: 250,
    });
    const report = await arrived(alice, ring.relay("_a.test"), "multipart/report");
    expect(report.toString("latin1")).toMatch(/^From: .*mailer-daemon@_b\.test/im);
    expect(report.toString("latin1")).toMatch(/^Status: [45]\.2\.2/m);
    await expectValid(report, ring.relay("_b.test"));
  });

  describe("the change of a relay's key", () => {
    const relay = () => ring.relay("_a.test");
    const servers: DnsServer[] = [];
    let present: DnsRecord[];
    let next: DnsRecord[];

    const folder = () => join(ring.network().folder, "_a.test", "relay");
    /** As the timer does it every quarter of an hour. */
    const lookForNextKey = () => relay().exec("systemctl start homing-dkim.service");
    /** The selector of the signature on a new message, which arrives and which every judge finds valid. */
    const signingSelector = async (): Promise<string | undefined> => {
      const mark = `mark-${randomUUID()}`;
      await using session = await openSubmission(relay().address, alice.address, alice.password);
      const headers = [`Chat-Version: ${mark}`];
      const source = await encryptedMail({ from: alice.address, to: bob.address, headers });
      expect(await session.send({ from: alice.address, to: [bob.address], source })).toMatchObject({
        code: 250,
      });
      const message = await arrived(bob, ring.relay("_b.test"), mark);
      const selector = /^DKIM-Signature:[^:]*?\bs=([a-z0-9]+);/m.exec(message.toString("latin1"))?.[1];
      await expectValid(message, relay(), selector);
      return selector;
    };

    beforeAll(async () => {
      const { relay: changed } = await beginRotation(folder());
      const [first, second] = publicDkimKeys(changed).map((key) =>
        relayRecords({ domain: "_a.test", dkim: [key] }).filter(
          ({ name }) => name === `${key.selector}._domainkey._a.test`,
        ),
      );
      present = first!;
      next = second!;
      const addresses = await addClientAddresses(2);
      for (const address of addresses) {
        const own = join(ring.network().folder, address);
        await mkdir(own);
        const server = await startDnsServer({ address, folder: own });
        await server.add([], present);
        servers.push(server);
      }
      await ring.network().dns.delegate("_a.test", { "ns1.test": addresses[0]!, "ns2.test": addresses[1]! });
      await writeFiles(join(relay().bootFolder, "relay"), changed.files);
      await relay().restart();
    });
    afterAll(async () => {
      for (const server of servers) await server.stop();
    });

    it("waits while no name server has the next one", async () => {
      await lookForNextKey();
      expect(await relay().journal("homing-dkim.service")).toContain("not in the DNS everywhere yet");
      expect(await signingSelector()).toBe("homing1");
    });

    it("waits while one of two name servers lacks it, though the resolver knows it", async () => {
      await ring.network().publish(next);
      await servers[0]!.add([], next);
      await lookForNextKey();
      expect(await relay().journal("homing-dkim.service")).toMatch(/"ns2\.test \S+: no key"/);
      expect(await signingSelector()).toBe("homing1");
    });

    it("lets nobody withdraw the old one meanwhile", async () => {
      await expect(endRotation(folder(), realResolvers())).rejects.toThrow(
        /still signs with homing1.*ns2\.test \S+: no key/s,
      );
    });

    it("waits while one of two name servers is silent", async () => {
      await servers[1]!.stop();
      await lookForNextKey();
      expect(await relay().journal("homing-dkim.service")).toMatch(/"ns2\.test \S+: silent"/);
      expect(await signingSelector()).toBe("homing1");
    });

    it("happens when all have it, without a restart, and stays", async () => {
      await servers[1]!.add([], next);
      await lookForNextKey();
      await waitFor("the milter signs with the next key", DELIVERY_TIMEOUT, async () =>
        (await relay().journal("homing-milter.service")).includes("the next DKIM key signs from now on"),
      );
      expect(await signingSelector()).toBe("homing2");
      await relay().exec("systemctl restart homing-milter.service");
      expect(await signingSelector()).toBe("homing2");
    });

    it("ends with the old one withdrawn", async () => {
      const { relay: changed, retired } = await endRotation(folder(), realResolvers());
      expect(retired).toBe("homing1");
      await writeFiles(join(relay().bootFolder, "relay"), changed.files);
      await relay().restart();
      expect(await signingSelector()).toBe("homing2");
      await lookForNextKey();
      expect(await relay().journal("homing-dkim.service")).toContain("unmet condition");
    });

    it("is looked for from time to time", async () => {
      const timer = await relay().exec(
        "systemctl show --property=ActiveState,NextElapseUSecRealtime homing-dkim.timer",
      );
      expect(timer.stdout).toMatch(/^ActiveState=active$/m);
      expect(timer.stdout).toMatch(/^NextElapseUSecRealtime=.*\d/m);
    });
  });
});

/** The record of a relay's key as the DNS has it, by its name. */
async function publishedKey({ domain }: Relay, selector: string): Promise<Record<string, string>> {
  const name = `${selector}._domainkey.${domain}`;
  return { [name]: (await resolveTxt(name)).flat().join("") };
}
