/**
 * A real Delta Chat core as a client of the relays under test: the chatmail core behind its JSON-RPC
 * server (npm @deltachat/stdio-rpc-server), one program a client. Used by test/relay and test/bench.
 *
 * The core sends about one message a second after a burst of three; tests send at once and wait for the
 * arrival, benches leave time between messages.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import type { DcEvent, DcEventType, T } from "@deltachat/jsonrpc-client";
import { type DeltaChatOverJsonRpcServer, startDeltaChat } from "@deltachat/stdio-rpc-server";
import { currentNamespace } from "./namespace.ts";
import { waitFor } from "./wait.ts";

export type ChatMessage = T.Message;

export type Client = AsyncDisposable &
  Readonly<{
    name: string;
    rpc: DeltaChatOverJsonRpcServer["rpc"];
    accountId: number;
    /** Makes an account by logging in (`dcaccount:DOMAIN`) and goes online. */
    onboard: (qr: string) => Promise<Onboarded>;
    /** Sends a text; resolves to the message's id as soon as it is queued in the core. */
    sendText: (chatId: number, text: string) => Promise<number>;
    sendFile: (chatId: number, path: string) => Promise<number>;
    /** Waits until all messages that `select` picks are there in a chat, wholly downloaded; `count` of them. */
    waitForMessages: (
      chatId: number,
      count: number,
      select?: (message: ChatMessage) => boolean,
      timeout?: number,
    ) => Promise<ChatMessage[]>;
    /** The next event of a kind that `accept` takes, from now on. */
    waitForEvent: <K extends DcEvent["kind"]>(
      kind: K,
      accept?: (event: DcEventType<K>) => boolean,
      timeout?: number,
    ) => Promise<TimedEvent<K>>;
    /** The chat with an address that is known already, in this client's numbering. */
    chatWith: (address: string) => Promise<number>;
    /** What the core logged, one entry a line, for failure messages. */
    log: () => string;
  }>;

export type Onboarded = Readonly<{
  address: string;
  /** From the call to a working account, in milliseconds. */
  milliseconds: number;
}>;

/** An event with the moment it was received (performance.now()). */
export type TimedEvent<K extends DcEvent["kind"]> = DcEventType<K> & { readonly at: number };

const EVENT_TIMEOUT = 60_000;
const MESSAGES_TIMEOUT = 90_000;

/** Starts a core with an empty account. */
export async function createClient(name: string): Promise<Client> {
  const namespace = currentNamespace();
  if (namespace === undefined) throw new Error("clients run inside ring 2's namespace: npm test -- relay");
  const folder = mkdtempSync(join(namespace.folder, `client-${name}-`));
  // It runs the event loop itself: a second loop would take half of the events away.
  const chat = startDeltaChat(join(folder, "accounts"), { muteStdErr: true });
  const { rpc } = chat;
  const lines: string[] = [];
  const waiting = new Set<(event: DcEvent, at: number) => void>();
  chat.on("ALL", (_account, event) => {
    const at = performance.now();
    lines.push(
      `${new Date().toISOString()} ${event.kind} ${"msg" in event ? event.msg : JSON.stringify(event)}`,
    );
    for (const offer of waiting) offer(event, at);
  });
  const accountId = await rpc.addAccount();

  const waitForEvent: Client["waitForEvent"] = (kind, accept = () => true, timeout = EVENT_TIMEOUT) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(offer);
        reject(new Error(`${name} waited ${timeout} ms in vain for ${kind}; its log ends:\n${logEnd()}`));
      }, timeout);
      const offer = (event: DcEvent, at: number) => {
        if (event.kind !== kind || !accept(event as DcEventType<typeof kind>)) return;
        clearTimeout(timer);
        waiting.delete(offer);
        resolve({ ...(event as DcEventType<typeof kind>), at });
      };
      waiting.add(offer);
    });
  const logEnd = () => lines.slice(-40).join("\n");

  return {
    name,
    rpc,
    accountId,
    waitForEvent,
    log: () => lines.join("\n"),
    onboard: async (qr) => {
      const start = performance.now();
      try {
        await rpc.addTransportFromQr(accountId, qr);
      } catch (error) {
        throw new Error(`${name} could not onboard with ${qr}; its log ends:\n${logEnd()}`, { cause: error });
      }
      const milliseconds = performance.now() - start;
      await rpc.setConfig(accountId, "displayname", name);
      await rpc.startIo(accountId);
      return { address: (await rpc.getConfig(accountId, "configured_addr"))!, milliseconds };
    },
    sendText: (chatId, text) => rpc.miscSendTextMessage(accountId, chatId, text),
    sendFile: (chatId, path) =>
      rpc.sendMsg(accountId, chatId, {
        ...{ text: null, html: null, viewtype: "File", file: path, filename: null, location: null },
        ...{ overrideSenderName: null, quotedMessageId: null, quotedText: null },
      }),
    waitForMessages: async (chatId, count, select = () => true, timeout = MESSAGES_TIMEOUT) => {
      let found: ChatMessage[] = [];
      const complete = async () => {
        const ids = await rpc.getMessageIds(accountId, chatId, false, false);
        const loaded = Object.values(await rpc.getMessages(accountId, ids));
        found = loaded.flatMap((message) => (message.kind === "message" && select(message) ? [message] : []));
        return found.length >= count && found.every((message) => message.downloadState === "Done") && found;
      };
      try {
        return await waitFor(`${count} messages at ${name}`, timeout, complete);
      } catch (error) {
        throw new Error(`${name} has ${found.length} of ${count} messages; its log ends:\n${logEnd()}`, {
          cause: error,
        });
      }
    },
    chatWith: async (address) => {
      const contacts = await rpc.getContacts(accountId, 0, address);
      const contact = contacts.find((one) => one.address === address.toLowerCase());
      if (contact === undefined) throw new Error(`${name} does not know ${address}`);
      return await rpc.createChatByContactId(accountId, contact.id);
    },
    [Symbol.asyncDispose]: async () => {
      await rpc.stopIo(accountId);
      // Its event loop may ask once more when the process has ended (EPIPE).
      chat.transport.input.on("error", () => {});
      chat.close();
    },
  };
}

/** Joins two clients by an invitation code. Resolves when both sides have verified each other; gives their chats. */
export async function secureJoin(inviter: Client, joiner: Client) {
  const start = performance.now();
  const code = await inviter.rpc.getChatSecurejoinQrCode(inviter.accountId, null);
  const inviterDone = inviter.waitForEvent("SecurejoinInviterProgress", (event) => event.progress === 1000);
  const joinerDone = joiner.waitForEvent("SecurejoinJoinerProgress", (event) => event.progress === 1000);
  const [joinerChat, invited] = await Promise.all([
    joiner.rpc.secureJoin(joiner.accountId, code),
    inviterDone,
    joinerDone,
  ]);
  const inviterChat = await inviter.rpc.createChatByContactId(inviter.accountId, invited.contactId);
  return { inviterChat, joinerChat, milliseconds: performance.now() - start };
}

/** A second device of a client's account, set up from a backup as the app does it. It is online on return. */
export async function addSecondDevice(first: Client, name: string): Promise<Client> {
  const namespace = currentNamespace();
  if (namespace === undefined) throw new Error("clients run inside ring 2's namespace");
  const folder = mkdtempSync(join(namespace.folder, "backup-"));
  const written = first.waitForEvent("ImexFileWritten");
  await first.rpc.exportBackup(first.accountId, folder, null);
  const second = await createClient(name);
  try {
    await second.rpc.importBackup(second.accountId, (await written).path, null);
    await second.rpc.startIo(second.accountId);
    // Copies of its own messages are what makes the other device see them.
    await first.rpc.setConfig(first.accountId, "bcc_self", "1");
    return second;
  } catch (error) {
    await second[Symbol.asyncDispose]();
    throw error;
  }
}
