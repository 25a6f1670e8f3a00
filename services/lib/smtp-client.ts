/**
 * A client of SMTP (RFC 5321) for the mail server of this device, over a connection of its own: no TLS,
 * no login. It shows every reply, one for each recipient. Called by services/transport and services/web.
 */
import type { Socket } from "node:net";
import { createDotStuffer } from "./smtp-dots.ts";

export type SmtpReply = Readonly<{
  code: number;
  /** Everything after the code, with the enhanced status if there is one; lines are joined by a blank. */
  text: string;
}>;

export type SmtpMail = Readonly<{
  /** Envelope sender without brackets; empty for the null sender. */
  from: string;
  /** Parameters of MAIL, as BODY=8BITMIME. */
  parameters?: readonly string[];
  to: readonly string[];
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}>;

export type SmtpClientOptions = Readonly<{
  /** Who we say we are, in EHLO. */
  name: string;
  /** Bytes that go before everything, as a PROXY header. */
  preface?: Uint8Array;
  /** "all": one refused recipient, and nobody gets the message. */
  deliverTo: "all" | "accepted";
  /** The other side may be silent so long, in milliseconds; REPLY_LIMIT_MS unless given. */
  replyLimitMs?: number;
}>;

export type SmtpResult = Readonly<{
  /** For each recipient of the mail, in order. */
  replies: readonly SmtpReply[];
  /** Whether the message itself was sent and answered; otherwise nobody has it. */
  offered: boolean;
}>;

/** The conversation broke off, or was none. */
export class SmtpClientError extends Error {
  override name = "SmtpClientError";
  /** The whole message was sent and not answered: somebody may have it. */
  readonly uncertain: boolean;
  constructor(message: string, uncertain = false) {
    super(message);
    this.uncertain = uncertain;
  }
}

/**
 * A reply may take so long, in milliseconds: after the message the policy asks the DNS, and the disk takes its time
 * (RFC 5321 §4.5.3.2.6 gives ten minutes; Postfix gives our milter one).
 */
const REPLY_LIMIT_MS = 120_000;
/** RFC 5321 §4.5.3.1.5 gives a reply line 512 bytes; Postfix's for refused recipients are longer with long addresses. */
const MAX_REPLY_BYTES = 16_384;

export type SmtpClient = Readonly<{
  /**
   * Sends one message; more may follow, unless a reply is 421. `deliverTo: "all"` answers everybody else with the refusal
   * of the first.
   * @throws SmtpClientError, after which the connection is of no use; or what reading `source` throws, likewise.
   */
  send: (mail: SmtpMail) => Promise<SmtpResult>;
  /** Ends the conversation politely. */
  close: () => void;
  /** Breaks it off: what was not finished is not delivered. */
  destroy: () => void;
}>;

/** Greets the server behind a socket that is connected or will be. @throws SmtpClientError */
export async function openSmtpClient(socket: Socket, options: SmtpClientOptions): Promise<SmtpClient> {
  const replies = replyReader(socket, options.replyLimitMs ?? REPLY_LIMIT_MS);
  try {
    if (options.preface !== undefined) socket.write(options.preface);
    expect(await replies.next(), 220, "greeting");
    socket.write(`EHLO ${options.name}\r\n`);
    expect(await replies.next(), 250, "EHLO");
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const send = async (mail: SmtpMail): Promise<SmtpResult> => {
    try {
      return await transact(socket, replies, mail, options);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
  return {
    send,
    close: () => socket.end("QUIT\r\n"),
    destroy: () => socket.destroy(),
  };
}

function expect(reply: SmtpReply, code: number, what: string): void {
  if (reply.code !== code) throw new SmtpClientError(`${what} refused: ${reply.code} ${reply.text}`);
}

type ReplyReader = ReturnType<typeof replyReader>;

async function transact(
  socket: Socket,
  replies: ReplyReader,
  mail: SmtpMail,
  { deliverTo }: SmtpClientOptions,
): Promise<SmtpResult> {
  const commands = [
    [`MAIL FROM:<${mail.from}>`, ...(mail.parameters ?? [])].join(" "),
    ...mail.to.map((recipient) => `RCPT TO:<${recipient}>`),
  ];
  // RFC 2920 §3.1: all in one go. DATA waits, for nobody may be left to get the message.
  socket.write(Buffer.from(`${commands.join("\r\n")}\r\n`));
  const sender = await replies.next();
  const recipients: SmtpReply[] = [];
  for (const _ of mail.to) {
    const reply = await replies.next();
    // RFC 5321 §3.8: it ends the session; Postfix does so after many refused recipients (smtpd_hard_error_limit).
    if (reply.code === 421) return endedEarly(mail.to.length, refused(sender) ? [sender] : recipients, reply);
    recipients.push(reply);
  }
  const refusal = refused(sender) ? sender : recipients.find(refused);
  const isAccepted = !refused(sender) && !recipients.every(refused);
  if (!isAccepted || (refusal !== undefined && deliverTo === "all")) {
    socket.write("RSET\r\n");
    expect(await replies.next(), 250, "RSET");
    return {
      replies: recipients.map((reply) => (refused(sender) || !refused(reply) ? refusal! : reply)),
      offered: false,
    };
  }
  socket.write("DATA\r\n");
  const go = await replies.next();
  if (go.code !== 354) {
    if (!refused(go)) throw new SmtpClientError(`DATA answered with ${go.code} ${go.text}`);
    return { replies: recipients.map((reply) => (refused(reply) ? reply : go)), offered: false };
  }
  await writeMessage(socket, replies, mail.source);
  replies.becomeUncertain(true);
  const final = await replies.next();
  replies.becomeUncertain(false);
  return {
    replies: recipients.map((reply) => (refused(reply) ? reply : final)),
    offered: true,
  };
}

/**
 * Nobody has the message. Who was refused by then is told so; about the others it said nothing, so they get the first
 * refusal, which names another, or the word for the end.
 */
function endedEarly(count: number, heard: readonly SmtpReply[], end: SmtpReply): SmtpResult {
  const first = heard.find(refused) ?? end;
  const replies = Array.from({ length: count }, (_, i) => {
    const reply = heard[i];
    return reply !== undefined && refused(reply) ? reply : first;
  });
  return { replies, offered: false };
}

/** RFC 5321 §4.2.1: 4yz and 5yz. */
function refused(reply: SmtpReply): boolean {
  return reply.code >= 400;
}

/** Notices at once when the other side goes away, also while `source` has nothing to give. */
async function writeMessage(socket: Socket, replies: ReplyReader, source: SmtpMail["source"]): Promise<void> {
  const stuffer = createDotStuffer();
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  for (;;) {
    const { done, value } = await Promise.race([iterator.next(), replies.gone]);
    if (done) break;
    let hasRoom = true;
    socket.cork();
    for (const piece of stuffer.next(Buffer.from(value.buffer, value.byteOffset, value.byteLength))) {
      hasRoom = socket.write(piece);
    }
    socket.uncork();
    if (!hasRoom) {
      const drained = new Promise<void>((resolve) => socket.once("drain", resolve));
      await replies.within(Promise.race([drained, replies.gone]));
    }
  }
  socket.write(stuffer.end());
}

function replyReader(socket: Socket, limitMs: number) {
  let buffered = "";
  let lines: string[] = [];
  let uncertain = false;
  const ready: SmtpReply[] = [];
  let waiting: ((reply: SmtpReply) => void) | undefined;
  let failure = "the mail server went away";
  const { promise: gone, reject } = Promise.withResolvers<never>();
  gone.catch(() => {});
  const fail = (reason: string) => {
    failure = reason;
    socket.destroy();
  };
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("close", () => reject(new SmtpClientError(failure, uncertain)));
  socket.on("data", (chunk: Buffer) => {
    buffered += chunk.toString("latin1");
    for (let end = buffered.indexOf("\n"); end >= 0; end = buffered.indexOf("\n")) {
      const line = buffered.slice(0, end).replace(/\r$/, "");
      buffered = buffered.slice(end + 1);
      lines.push(line.slice(4));
      if (!/^[2-5]\d\d([ -]|$)/.test(line)) {
        fail("the mail server does not speak SMTP");
        return;
      }
      if (line[3] === "-") continue;
      const reply = { code: Number(line.slice(0, 3)), text: lines.join(" ").trim() };
      lines = [];
      if (waiting === undefined) ready.push(reply);
      else waiting(reply);
      waiting = undefined;
    }
    if (buffered.length + lines.reduce((sum, line) => sum + line.length, 0) > MAX_REPLY_BYTES)
      fail("a reply of the mail server is too long");
  });
  const within = async <T>(what: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => fail("the mail server is silent"), limitMs);
    try {
      return await what;
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    next: async (): Promise<SmtpReply> => {
      const reply = ready.shift();
      if (reply !== undefined) return reply;
      const { promise, resolve } = Promise.withResolvers<SmtpReply>();
      waiting = resolve;
      return await within(Promise.race([promise, gone]));
    },
    /** Fails when the connection ends. */
    gone,
    /** Ends the connection when it takes too long. */
    within,
    /** From the end of a message to the last reply to it, a lost connection leaves it open who has it. */
    becomeUncertain: (state: boolean) => {
      uncertain = state;
    },
  };
}
