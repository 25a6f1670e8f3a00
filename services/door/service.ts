/**
 * Puts the door of the mailboxes together: a socket for Postfix, Dovecot's LMTP behind it, the list of what was delivered
 * in between. Called by main.ts on the device and, with other addresses, by tests.
 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { isCanaryAddress } from "../../appliance/canary.ts";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import { type Conversation, serveConversation } from "./conversation.ts";
import { openDeliveredList } from "./delivered-list.ts";
import { createDeliveries } from "./deliveries.ts";
import { createMailboxLook } from "./mailbox-look.ts";
import { createNews } from "./news.ts";

export type DoorOptions = Readonly<{
  /** LMTP, for Postfix. */
  listen: ListenTarget;
  /** Dovecot's LMTP. */
  lmtpPath: string;
  /** Dovecot's doveadm, which searches mailboxes. */
  lookPath: string;
  /** Where services/metadata listens for who got mail. */
  newsPath: string;
  /** The list; gets a second file beside it. */
  listPath: string;
  counters: Counters;
  log: Log;
  /** How long a delivery that was lost sight of may still go on, milliseconds; for tests. */
  settleMs?: number;
}>;

/** Postfix has at most as many processes that deliver (default_process_limit), with one connection each. */
const MAX_CONNECTIONS = 200;
/** Dovecot's start takes a second or two; who waited longer tries again. Milliseconds. */
const DOVECOT_LIMIT_MS = 10_000;
const DOVECOT_PAUSE_MS = 100;
const dovecotAway = "421 4.3.2 the mailboxes do not answer, try again later\r\n";

/** Starts the service; resolves when it listens. @throws SocketInUseError, or the error of reading the list. */
export async function startDoorService(options: DoorOptions): Promise<readonly ShutdownStep[]> {
  const { log, counters } = options;
  const recipients = counters.counter(
    "homing_door_recipients_total",
    "Recipients of messages for mailboxes here, by what became of it: delivered, refused, unknown (Dovecot went away, or could not say), repeated (known as delivered), found (in the mailbox, after doubt), later",
  );
  const list = openDeliveredList({ path: options.listPath, log });
  const news = createNews({ path: options.newsPath, log });
  const deliveries = createDeliveries({
    list,
    isInMailbox: createMailboxLook(options.lookPath),
    now: () => performance.now(),
    counted: (outcome, recipient) => {
      if (!isCanaryAddress(recipient.toLowerCase())) recipients.add({ outcome });
    },
    // What people send themselves comes from a device of theirs that is awake. Nobody else can send so: Postfix lets only
    // the owner of an address have it as envelope sender, and the milter takes it from mail from elsewhere.
    arrived: (recipient, sender) => {
      if (recipient.toLowerCase() !== sender.toLowerCase()) news.tell(recipient.toLowerCase());
    },
    log,
    ...(options.settleMs !== undefined && { settleMs: options.settleMs }),
  });
  const open = new Set<Conversation>();
  let isStopping = false;
  const serve = async (postfix: Socket): Promise<void> => {
    const dovecot = await connectDovecot(options.lmtpPath, () => postfix.destroyed || isStopping);
    if (dovecot === undefined || postfix.destroyed) {
      dovecot?.destroy();
      if (!postfix.destroyed && !isStopping) log.warn("Dovecot does not answer");
      postfix.end(dovecotAway);
      return;
    }
    const conversation = serveConversation({ postfix, dovecot, deliveries, log });
    open.add(conversation);
    if (isStopping) conversation.finish();
    await conversation.done;
    open.delete(conversation);
  };
  const server = createServer((postfix) => {
    postfix.on("error", (error) => log.debug("a connection broke off", { reason: error.message }));
    serve(postfix).catch((cause: unknown) => {
      log.error("cannot serve a connection", {}, cause);
      postfix.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listenSocket(server, options.listen);
  log.info("taking mail for the mailboxes");
  return [
    {
      name: "finish messages under way",
      run: async () => {
        isStopping = true;
        server.close();
        for (const conversation of open) conversation.finish();
        await Promise.all([...open].map(({ done }) => done));
      },
    },
    { name: "end telling of mail", run: news.close },
    { name: "close the list", run: list.close },
    { name: "write the counters", run: () => counters.close() },
  ];
}

/** Undefined when it does not come up in time, or nobody waits any more. */
async function connectDovecot(path: string, isOver: () => boolean): Promise<Socket | undefined> {
  for (const started = performance.now(); ; ) {
    const socket = connect(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      // Its socket is not there, or nobody behind it.
      if (isOver() || performance.now() - started > DOVECOT_LIMIT_MS) return undefined;
    }
    await setTimeout(DOVECOT_PAUSE_MS);
  }
}
