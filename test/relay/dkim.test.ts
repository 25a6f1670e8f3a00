/**
 * DKIM between two relays with real Postfix on both sides: messages as they arrive at the other one, judged there by
 * independent programs.
 */

import { resolveTxt } from "node:dns/promises";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { dataDirectory, dataPaths } from "../../appliance/layout.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { dkimJudges } from "../support/dkim-judges.ts";
import { encryptedMail } from "../support/mail.ts";
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

const hardMails: [what: string, make: (from: string, to: string) => Promise<string>][] = [
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
  ["of 30 MB", (from, to) => encryptedMail({ from, to }, "x".repeat(21_900_000))],
];

describeRelays("DKIM between relays", { "_a.test": {}, "_b.test": {} }, (ring) => {
  let alice: Account;
  let bob: Account;

  beforeAll(async () => {
    alice = await makeAccount(ring.relay("_a.test"));
    bob = await makeAccount(ring.relay("_b.test"));
    // A relay takes signatures away when it delivers; here they are what is looked at.
    await ring.relay("_b.test").exec("postconf -e lmtp_header_checks= && postfix reload");
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

  const expectValid = async (message: Buffer, sender: Relay) => {
    const header = message.toString("latin1", 0, message.indexOf("\r\n\r\n"));
    expect(header.match(/^DKIM-Signature: /gm)).toHaveLength(1);
    const keys = await publishedKey(sender);
    for (const { name, missing, judge } of dkimJudges) {
      if (missing === undefined) expect(await judge([message], keys), name).toEqual([true]);
    }
  };

  describe.each(hardMails)("a message %s", (what, make) => {
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
      await expectValid(message, ring.relay("_a.test"));
    });
  });

  it("a bounce arrives with a signature that every judge finds valid", async () => {
    await using session = await openSubmission(ring.relay("_b.test").address, bob.address, bob.password);
    const to = "somebody@nowhere.test";
    const source = await encryptedMail({ from: bob.address, to });
    expect(await session.send({ from: bob.address, to: [to], source })).toMatchObject({ code: 250 });
    await expectValid(await arrived(bob, ring.relay("_b.test"), "multipart/report"), ring.relay("_b.test"));
  });
});

/** The record of a relay's key as the DNS has it, by its name. */
async function publishedKey({ domain, config }: Relay): Promise<Record<string, string>> {
  const name = `${config.dkim.selector}._domainkey.${domain}`;
  return { [name]: (await resolveTxt(name)).flat().join("") };
}
