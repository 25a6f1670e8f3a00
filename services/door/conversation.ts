/**
 * One connection of Postfix and the one to Dovecot behind it (LMTP, RFC 2033): everything goes through as it is said, but
 * the last line of a message waits until deliveries.ts knows that nobody has it, and the replies to it until that is
 * noted. Of a message no more is held back than a small one has. Called by service.ts.
 */
import type { Socket } from "node:net";
import type { Log } from "../lib/log.ts";
import type { Deliveries, Outcome } from "./deliveries.ts";
import { createMessageReader, LAST_LINE } from "./message-end.ts";
import { type LmtpReply, readReplies, withoutExtensions } from "./replies.ts";

export const conversationLimits = {
  /** A command. RFC 5321 §4.5.3.1.4 gives 512 bytes, long addresses and parameters take more. */
  commandBytes: 4096,
  /** Most messages are smaller: they go to Dovecot in one piece, which wakes it once. */
  heldBytes: 16 * 1024,
  /** Postfix keeps a connection 30 s for its next message, and gives the replies to one ten minutes. Milliseconds. */
  silenceMs: 300_000,
  /** For Dovecot's replies to a message, after which nobody knows whether it is delivered. Milliseconds. */
  deliveryMs: 600_000,
} as const;

export type ConversationOptions = Readonly<{
  /** Nothing was read from it yet. */
  postfix: Socket;
  /** Connected. */
  dovecot: Socket;
  deliveries: Deliveries;
  log: Log;
  limits?: Readonly<Record<keyof typeof conversationLimits, number>>;
}>;

export type Conversation = Readonly<{
  /** Resolves when both connections are closed and what became of the messages is noted. Never rejects. */
  done: Promise<void>;
  /** Ends it after the message under way. */
  finish: () => void;
}>;

export function serveConversation(options: ConversationOptions): Conversation {
  const { postfix, dovecot, deliveries, log, limits = conversationLimits } = options;
  let sender = "";
  /** Those that Dovecot said yes to. */
  let recipients: string[] = [];
  let isFinishing = false;
  /** The last line is written: what Dovecot says is waited for, even if Postfix goes. */
  let isDelivering = false;
  // At once: Postfix does not look at the connections that it keeps for later.
  const end = () => {
    postfix.destroySoon();
    dovecot.destroySoon();
  };
  const replies = readReplies(dovecot, (unasked) => void postfix.write(unasked.bytes));
  const dovecotClosed = new Promise<void>((resolve) => dovecot.once("close", () => resolve()));
  const postfixClosed = new Promise<void>((resolve) => postfix.once("close", () => resolve()));
  void dovecotClosed.then(() => isDelivering || postfix.destroySoon());
  void postfixClosed.then(() => isDelivering || dovecot.destroy());
  for (const socket of [postfix, dovecot]) {
    socket.on("error", (error) => log.debug("a connection broke off", { reason: error.message }));
  }
  postfix.setTimeout(limits.silenceMs, () => isDelivering || postfix.destroy());

  const pass = (reply: LmtpReply | undefined): void => {
    if (reply !== undefined) postfix.write(reply.bytes);
  };
  replies.expect(pass);

  /** Sends a command on and says what is to happen with its reply. Resolves to the reply to DATA. */
  const command = (line: string): Promise<LmtpReply | undefined> | undefined => {
    const verb = line.slice(0, 4).toUpperCase();
    switch (verb) {
      case "LHLO":
        replies.expect((reply) => {
          recipients = [];
          pass(reply && withoutExtensions(reply));
        });
        return;
      case "MAIL":
        replies.expect((reply) => {
          if (reply !== undefined && reply.code < 300) [sender, recipients] = [pathOf(line), []];
          pass(reply);
        });
        return;
      case "RCPT":
        replies.expect((reply) => {
          if (reply !== undefined && reply.code < 300) recipients.push(pathOf(line));
          pass(reply);
        });
        return;
      case "RSET":
        replies.expect((reply) => {
          recipients = [];
          pass(reply);
        });
        return;
      case "NOOP":
      case "QUIT":
      case "VRFY":
        replies.expect(pass);
        return;
      case "DATA":
        return new Promise((resolve) => {
          replies.expect((reply) => {
            pass(reply);
            resolve(reply);
          });
        });
      default:
        throw new Error(`the mail server said ${verb}, which was not offered`);
    }
  };

  /** The whole message is with Dovecot but for `held` and its last line. Resolves to whether the conversation goes on. */
  const deliver = async (message: ReturnType<typeof createMessageReader>, held: Buffer): Promise<boolean> => {
    const all = recipients;
    recipients = [];
    isDelivering = true;
    const claim = await deliveries.claim({
      sender,
      recipients: all,
      digest: message.digest(),
      messageId: message.messageId(),
    });
    if (claim.kind === "answer") {
      // Without its last line Dovecot drops it.
      dovecot.destroy();
      postfix.end(claim.verdicts.map((verdict) => answers[verdict]).join(""));
      return false;
    }
    if (dovecot.destroyed || postfix.destroyed) {
      claim.finish(all.map(() => "refused"));
      return false;
    }
    const heard: LmtpReply[] = [];
    const allHeard = new Promise<void>((resolve) => {
      for (let left = all.length; left > 0; left--) {
        replies.expect((reply) => {
          if (reply !== undefined) heard.push(reply);
          if (reply === undefined || heard.length === all.length) resolve();
        });
      }
    });
    const limit = setTimeout(() => dovecot.destroy(), limits.deliveryMs);
    dovecot.write(Buffer.concat([held, LAST_LINE]));
    await allHeard;
    clearTimeout(limit);
    claim.finish(all.map((_, i) => outcomeOf(heard[i])));
    isDelivering = false;
    postfix.write(Buffer.concat(heard.map(({ bytes }) => bytes)));
    return heard.length === all.length && !postfix.destroyed && !isFinishing;
  };

  const converse = async (): Promise<void> => {
    let message: ReturnType<typeof createMessageReader> | undefined;
    let unread: Buffer = NOTHING;
    let held: Buffer = NOTHING;
    // Left early, the connection stays: what was written to it is to be read.
    const chunks: AsyncIterable<Buffer> = postfix.iterator({ destroyOnReturn: false });
    for await (const chunk of chunks) {
      unread = unread.length === 0 ? chunk : Buffer.concat([unread, chunk]);
      for (;;) {
        if (message !== undefined) {
          const { give, rest } = message.next(unread);
          unread = rest ?? NOTHING;
          held = held.length === 0 ? give : Buffer.concat([held, give]);
          if (held.length > limits.heldBytes) {
            const hasRoom = dovecot.write(held);
            held = NOTHING;
            if (!hasRoom) await drained(dovecot, dovecotClosed);
          }
          if (rest === undefined) break;
          if (!(await deliver(message, held))) return;
          held = NOTHING;
          message = undefined;
        }
        const { lines, count } = commandsIn(unread, limits.commandBytes);
        if (lines.length === 0) break;
        // All that came in one go are sent on in one (RFC 2920); DATA is the last of them.
        const dataReply = lines.map(command).find((reply) => reply !== undefined);
        dovecot.write(unread.subarray(0, count));
        unread = unread.subarray(count);
        if (dataReply === undefined) continue;
        if ((await dataReply)?.code === 354) message = createMessageReader();
      }
      if (isFinishing && recipients.length === 0 && message === undefined) return;
    }
  };

  const done = converse()
    .catch((cause: unknown) => {
      if (!postfix.destroyed) log.error("a conversation with the mail server broke off", {}, cause);
    })
    .then(async () => {
      isDelivering = false;
      end();
      await Promise.all([postfixClosed, dovecotClosed]);
    });
  return {
    done,
    finish: () => {
      isFinishing = true;
      if (recipients.length === 0 && !isDelivering && replies.awaited() === 0) end();
    },
  };
}

const NOTHING = Buffer.alloc(0);

const answers = {
  delivered: "250 2.0.0 it was delivered before\r\n",
  later: "451 4.3.0 it is not known yet whether it was delivered, try again later\r\n",
} as const;

/**
 * Only 5yz is a no. A process of Dovecot whose master died says "421 Server shutting down" to a message that it is about
 * to save.
 */
function outcomeOf(reply: LmtpReply | undefined): Outcome {
  if (reply === undefined) return "unknown";
  if (reply.code < 300) return "delivered";
  return reply.code < 500 ? "unknown" : "refused";
}

/** Between the angle brackets of MAIL and RCPT; parameters have none (RFC 5321 §4.1.2). */
function pathOf(line: string): string {
  return line.slice(line.indexOf("<") + 1, line.lastIndexOf(">"));
}

/** The whole lines at the beginning, up to DATA. @throws when one is too long. */
function commandsIn(bytes: Buffer, maxBytes: number): { lines: string[]; count: number } {
  const lines: string[] = [];
  let count = 0;
  for (let end = bytes.indexOf("\n"); end >= 0; end = bytes.indexOf("\n", count)) {
    const line = bytes.toString("utf8", count, end).replace(/\r$/, "");
    if (line.length > maxBytes) break;
    lines.push(line);
    count = end + 1;
    if (/^DATA$/i.test(line)) return { lines, count };
  }
  if (bytes.length - count > maxBytes) throw new Error("a command of the mail server is too long");
  return { lines, count };
}

async function drained(socket: Socket, closed: Promise<void>): Promise<void> {
  if (socket.destroyed) return;
  await Promise.race([new Promise<void>((resolve) => socket.once("drain", resolve)), closed]);
}
