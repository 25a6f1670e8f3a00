/**
 * What a real Delta Chat core shows of a message that the filter calls encrypted: nothing of what stands readable
 * around the encryption, whether the core has the key or not. The messages are put into the mailbox by IMAP.
 */
import { randomUUID } from "node:crypto";
import { createMessage, encrypt, generateKey, type PublicKey, readKey } from "openpgp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { judgeWhole, takeApart } from "../services/milter/whole-message.ts";
import { type Client, createClient } from "../support/client.ts";
import { openInbox } from "../support/imap-session.ts";
import { describeRelays } from "../support/ring.ts";
import { waitFor } from "../support/wait.ts";

const SENDER = "sender@_c.test";
const READABLE = "READABLE";
const SHOWN_TIMEOUT = 60_000;
/** DC_CONTACT_ID_SELF of the core. */
const SELF = 1;

/** Readable text wherever the filter lets some stand. */
const places: readonly Readonly<{
  where: string;
  name?: string;
  header?: string;
  preamble?: string;
  epilogue?: string;
  versionHeader?: string;
  dataHeader?: string;
  armorHeader?: string;
}>[] = [
  { where: "nowhere" },
  { where: "display name", name: `${READABLE} ` },
  { where: "subject", header: `Subject: ${READABLE}\r\n` },
  { where: "chat headers", header: `Chat-Group-ID: ${READABLE}abc\r\nChat-Group-Name: ${READABLE}\r\n` },
  { where: "other headers", header: `Comments: ${READABLE}\r\nList-Id: ${READABLE} <list.c.test>\r\n` },
  { where: "preamble", preamble: `${READABLE}\r\n` },
  { where: "epilogue", epilogue: `${READABLE}\r\n` },
  { where: "first part's description", versionHeader: `Content-Description: ${READABLE}\r\n` },
  {
    where: "first part's file",
    versionHeader: `Content-Disposition: inline; filename="${READABLE}.txt"\r\n`,
  },
  { where: "second part's description", dataHeader: `Content-Description: ${READABLE}\r\n` },
  {
    where: "second part's file",
    dataHeader: `Content-Disposition: attachment; filename="${READABLE}.txt"\r\n`,
  },
  { where: "second part's subject", dataHeader: `Subject: ${READABLE}\r\n` },
  { where: "armor", armorHeader: `Version: ${READABLE}\r\n` },
];

type Placed = (typeof places)[number];

function wholeMessage(to: string, placed: Placed, armored: string): string {
  const boundary = `b${randomUUID()}`;
  return [
    `From: ${placed.name ?? ""}<${SENDER}>\r\nTo: <${to}>\r\n`,
    placed.header ?? "",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}\r\nMessage-ID: <${randomUUID()}@_c.test>\r\n`,
    "Chat-Version: 1.0\r\nMIME-Version: 1.0\r\n",
    `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${boundary}"\r\n\r\n`,
    placed.preamble ?? "",
    `--${boundary}\r\nContent-Type: application/pgp-encrypted\r\n${placed.versionHeader ?? ""}\r\nVersion: 1\r\n`,
    `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n${placed.dataHeader ?? ""}\r\n`,
    armored
      .replace(/\r?\n/g, "\r\n")
      .replace("MESSAGE-----\r\n", (line) => line + (placed.armorHeader ?? "")),
    `\r\n--${boundary}--\r\n`,
    placed.epilogue ?? "",
  ].join("");
}

describeRelays("what a client shows of an encrypted message", { "_a.test": {} }, (ring) => {
  let alice: Client;

  beforeAll(async () => {
    alice = await createClient("alice");
  });
  afterAll(() => alice?.[Symbol.asyncDispose]());

  it("is what was encrypted, and nothing that stood around it", async () => {
    const { rpc, accountId } = alice;
    const { address } = await alice.onboard("dcaccount:_a.test");
    const sender = await generateKey({ userIDs: [{ email: SENDER }], format: "object" });
    const stranger = await generateKey({ userIDs: [{ email: "stranger@_c.test" }], format: "object" });
    const autocrypt = Buffer.from(sender.publicKey.write()).toString("base64");
    const encrypted = async (text: string, key: PublicKey): Promise<string> => {
      const header = `From: <${SENDER}>\r\nAutocrypt: addr=${SENDER}; keydata=${autocrypt}\r\nChat-Version: 1.0\r\n`;
      const message = await createMessage({ text: `Content-Type: text/plain\r\n${header}\r\n${text}` });
      return await encrypt({ message, encryptionKeys: key, signingKeys: sender.privateKey });
    };
    const [transport] = await rpc.listTransports(accountId);
    await using inbox = await openInbox(ring.relay("_a.test").address, transport!.addr, transport!.password);
    const known = await ownKey(alice);
    for (const key of [stranger.publicKey, known]) {
      for (const placed of places) {
        const message = wholeMessage(address, placed, await encrypted(placed.where, key));
        const { verdict } = judgeWhole(takeApart(Buffer.from(message)), true);
        expect(verdict, placed.where).toEqual({ kind: "encrypted" });
        expect((await inbox.command(`APPEND INBOX {${message.length}+}\r\n${message}`)).status).toBe("OK");
      }
    }
    const shown = await waitFor(`${places.length} messages shown`, SHOWN_TIMEOUT, async () => {
      const chat = await alice.chatWith(SENDER).catch(() => undefined);
      if (chat === undefined) return undefined;
      const ids = await rpc.getMessageIds(accountId, chat, false, false);
      const messages = Object.values(await rpc.getMessages(accountId, ids));
      const texts = messages.flatMap((one) => (one.kind === "message" && !one.isInfo ? [one.text] : []));
      return texts.length >= places.length && { texts, messages };
    });
    expect(shown.texts.sort()).toEqual(places.map(({ where }) => where).sort());
    const everything = [
      shown.messages,
      await rpc.getContacts(accountId, 0, null),
      await rpc.getChatlistItemsByEntries(
        accountId,
        await rpc.getChatlistEntries(accountId, null, null, null),
      ),
    ];
    expect(JSON.stringify(everything)).not.toContain(READABLE);
  });
});

/** The key that others encrypt to, from the client's own card. */
async function ownKey({ rpc, accountId }: Client): Promise<PublicKey> {
  const card = await rpc.makeVcard(accountId, [SELF]);
  const found = /data:application\/pgp-keys;base64\\?,([A-Za-z0-9+/=\s]+?)(?:\r?\n[A-Z]|$)/.exec(card);
  if (found === null) throw new Error(`no key in the card:\n${card}`);
  return await readKey({ binaryKey: Buffer.from(found[1]!.replace(/\s/g, ""), "base64") });
}
