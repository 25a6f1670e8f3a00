/** People chatting: real Delta Chat cores on two relays that know nothing of each other but the DNS. */
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { addSecondDevice, type Client, createClient, secureJoin } from "../support/client.ts";
import { describeRelays } from "../support/ring.ts";

const MESSAGES = 20;
const FILE_BYTES = 5_000_000;
const EXCHANGE_TIMEOUT = 60_000;

/** A core whose relay says "too much" waits half a minute; the limit itself is submission.test.ts's matter. */
const settings = { sending: { perMinute: 600, burst: 100 } };
const relays = { "_a.test": { settings }, "_b.test": { settings } };

describeRelays("two relays with a Delta Chat client on each", relays, (ring) => {
  let alice: Client;
  let bob: Client;
  let tablet: Client;
  let chats: { alice: number; bob: number; tablet: number };

  beforeAll(async () => {
    alice = await createClient("alice");
    bob = await createClient("bob");
  });
  afterAll(async () => {
    for (const client of [alice, bob, tablet]) await client?.[Symbol.asyncDispose]();
  });

  it.each([
    ["_a.test", () => alice],
    ["_b.test", () => bob],
  ])("a client gets its account on %s by logging in", async (domain, client) => {
    const { address } = await client().onboard(`dcaccount:${domain}`);
    expect(address).toMatch(new RegExp(`^[a-zA-Z0-9]{9}@${domain}$`));
    expect((await client().rpc.getInfo(client().accountId)).is_chatmail).toBe("true");
  });

  it("they verify each other across the relays", async () => {
    const { inviterChat, joinerChat } = await secureJoin(alice, bob);
    chats = { alice: inviterChat, bob: joinerChat, tablet: 0 };
  });

  it("a second device joins one account", async () => {
    tablet = await addSecondDevice(alice, "tablet");
    const address = (await bob.rpc.getConfig(bob.accountId, "configured_addr"))!;
    chats.tablet = await tablet.chatWith(address);
  });

  it(
    `${MESSAGES} messages go each way, all with a padlock, and the second device has them too`,
    async () => {
      const texts = (who: string) => Array.from({ length: MESSAGES }, (_, i) => `${who} says ${i}`);
      for (const text of texts("alice")) await alice.sendText(chats.alice, text);
      for (const text of texts("bob")) await bob.sendText(chats.bob, text);
      const is = (who: string) => (message: { text: string }) => message.text.startsWith(`${who} says `);
      const seen = await Promise.all([
        bob.waitForMessages(chats.bob, MESSAGES, is("alice"), EXCHANGE_TIMEOUT),
        alice.waitForMessages(chats.alice, MESSAGES, is("bob"), EXCHANGE_TIMEOUT),
        tablet.waitForMessages(chats.tablet, MESSAGES, is("alice"), EXCHANGE_TIMEOUT),
        tablet.waitForMessages(chats.tablet, MESSAGES, is("bob"), EXCHANGE_TIMEOUT),
      ]);
      for (const [i, who] of ["alice", "bob", "alice", "bob"].entries()) {
        expect(seen[i]!.map((message) => message.text).sort()).toEqual(texts(who).sort());
        expect(seen[i]!.every((message) => message.showPadlock)).toBe(true);
      }
    },
    EXCHANGE_TIMEOUT + 20_000,
  );

  it("a file of 5 MB goes across, byte for byte, to the second device as well", async () => {
    const path = join(ring.network().folder, "holiday.bin");
    const content = randomBytes(FILE_BYTES);
    await writeFile(path, content);
    await bob.sendFile(chats.bob, path);
    const isFile = (message: { fileName: string | null }) => message.fileName === "holiday.bin";
    for (const [client, chat] of [
      [alice, chats.alice],
      [tablet, chats.tablet],
    ] as const) {
      const [message] = await client.waitForMessages(chat, 1, isFile);
      expect(message!.showPadlock).toBe(true);
      expect(content.equals(await readFile(message!.file!))).toBe(true);
    }
  });
});
