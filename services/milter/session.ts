/**
 * One connection from Postfix to the milter, from negotiation to QUIT: a state machine over packets. Postfix
 * opens one per SMTP session and sends any number of messages over it; an ABORT ends a message early, and after
 * a refused message the session goes on. Rules live behind `Rules`. Called by main.ts for every connection.
 */

import type { Socket } from "node:net";
import type { Log } from "../lib/log.ts";
import { type Change, isRefusal, type MessageHandler } from "./message.ts";
import {
  continuePacket,
  decodeAddress,
  decodeConnect,
  decodeHeader,
  decodeMacros,
  encodeChangeHeader,
  encodeChangeSender,
  encodeInsertHeader,
  encodeRefusal,
  MilterProtocolError,
  type Negotiated,
  negotiate,
  type Packet,
  readPackets,
} from "./protocol.ts";
import { internalError, type Refusal, replyLine, unknownDaemon } from "./refusal.ts";

/** What is known when a message begins. */
export type Envelope = Readonly<{
  /** Argument of MAIL FROM: bracketed from SMTP, bare in bounces. */
  sender: string;
  /** The account that logged in, if any. */
  login: string | undefined;
  /** The client's IP address, null when Postfix knows none (its own bounces). */
  clientAddress: string | null;
}>;

/** Begins a message under the rules of a direction, or refuses it at once. */
export type BeginMessage = (envelope: Envelope) => MessageHandler | Refusal;

export type SessionOptions = Readonly<{
  /** By the name of the Postfix daemon a session came in by (milter_macro_daemon_name). */
  daemons: ReadonlyMap<string, BeginMessage>;
  log: Log;
}>;

export type RunningSession = Readonly<{
  /** Resolves when the connection is over. Never rejects: what goes wrong is logged, and the connection closed. */
  done: Promise<void>;
  /** Ends the connection: at once between two messages, else when the one under way has its answer. */
  finish(): void;
}>;

/** Serves the connection until it ends. */
export function serveSession(socket: Socket, options: SessionOptions): RunningSession {
  const session = createSession(socket, options);
  // Ends the loop below, which tells of it; this is for an error after the loop, which must not end the service.
  socket.on("error", () => {});
  let isFinishing = false;
  const run = async (): Promise<void> => {
    try {
      // Leaving the loop must not cut off an answer that is still being written.
      for await (const packet of readPackets(socket.iterator({ destroyOnReturn: false }))) {
        if (!(await session.take(packet)) || (isFinishing && session.isIdle())) break;
      }
    } catch (cause) {
      // Postfix went away in the middle of something: it has logged why, and the mail is still there.
      if (isConnectionReset(cause)) options.log.debug("the mail server closed a milter connection early");
      else options.log.error("a milter connection broke off", {}, cause);
    } finally {
      session.close();
      socket.destroySoon();
    }
  };
  return {
    done: run(),
    finish() {
      isFinishing = true;
      if (session.isIdle()) socket.destroySoon();
    },
  };
}

function isConnectionReset(cause: unknown): boolean {
  const codes = ["ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"];
  return cause instanceof Error && "code" in cause && codes.includes(String(cause.code));
}

function createSession(socket: Socket, { daemons, log }: SessionOptions) {
  let agreed: Negotiated | null = null;
  let clientAddress: string | null = null;
  /** Macros by the command they were sent for; a later set replaces the earlier one. */
  const macros = new Map<string, ReadonlyMap<string, string>>();
  let message: MessageHandler | null = null;
  let sender = "";
  let isInHeader = true;

  // Never waited for: Postfix reads each answer before it goes on, and the longest is some kilobytes.
  const send = (packet: Buffer): void => void socket.write(packet);

  const dropMessage = (): void => {
    message?.abort();
    message = null;
  };

  const daemonName = (): string => macros.get("C")?.get("daemon_name") ?? "";

  const refuse = (refusal: Refusal, detail: string): void => {
    log.info("refused", {
      daemon: daemonName(),
      queueId: macros.get("E")?.get("i") ?? macros.get("B")?.get("i"),
      sender,
      reply: replyLine(refusal),
      detail,
    });
    send(encodeRefusal(refusal));
  };

  const beginMessage = (data: Buffer): void => {
    dropMessage();
    isInHeader = true;
    sender = decodeAddress(data);
    const login = macros.get("M")?.get("auth_authen");
    // What was said for one message, the login above all, is never taken for the next.
    for (const stage of ["M", "R", "T", "L", "N", "B", "E"]) macros.delete(stage);
    const begin = daemons.get(daemonName());
    if (begin === undefined) {
      log.error(
        "Postfix came by a daemon name that has no rules: see milter_macro_daemon_name in its configuration",
        { daemon: daemonName() },
      );
      refuse(unknownDaemon, "unknown daemon name");
      return;
    }
    const begun = begin({ sender, login, clientAddress });
    if (isRefusal(begun)) {
      refuse(begun, "MAIL FROM");
    } else {
      message = begun;
      send(continuePacket);
    }
  };

  const current = (command: string): MessageHandler => {
    if (message === null) throw new MilterProtocolError(`the command ${command} outside a message`);
    return message;
  };

  const endHeader = (): void => {
    if (isInHeader) message?.endOfHeader();
    isInHeader = false;
  };

  const body = async (data: Buffer): Promise<void> => {
    endHeader();
    if (data.length > 0) await current("B").body(data);
  };

  const endMessage = async (data: Buffer): Promise<void> => {
    const ending = current("E");
    await body(data);
    const decision = await ending.end();
    message = null;
    if ("refusal" in decision) return refuse(decision.refusal, decision.detail);
    for (const change of decision.changes) send(encodeChange(change, agreed!));
    send(continuePacket);
  };

  /** Does what the packet asks; false when the session is over. */
  const dispatch = async ({ command, data }: Packet): Promise<boolean> => {
    if (command !== "O" && agreed === null)
      throw new MilterProtocolError(`the command ${command} before negotiation`);
    switch (command) {
      case "O": {
        const { answer, agreed: result } = negotiate(data);
        agreed = result;
        send(answer);
        break;
      }
      case "D": {
        const { command: stage, macros: values } = decodeMacros(data);
        macros.set(stage, values);
        break;
      }
      case "C":
        dropMessage();
        clientAddress = decodeConnect(data).address;
        send(continuePacket);
        break;
      case "M":
        beginMessage(data);
        break;
      case "R":
        current("R").recipient(decodeAddress(data));
        send(continuePacket);
        break;
      case "L": {
        const { name, value } = decodeHeader(data);
        current("L").header(name, agreed!.headerLeadingSpace ? value : ` ${value}`);
        if (agreed!.replyToHeader) send(continuePacket);
        break;
      }
      case "N":
        endHeader();
        send(continuePacket);
        break;
      case "B":
        await body(data);
        if (agreed!.replyToBody) send(continuePacket);
        break;
      case "E":
        await endMessage(data);
        break;
      case "A":
        dropMessage();
        break;
      case "K":
        // Another SMTP session over the same connection; CONNECT follows.
        dropMessage();
        macros.clear();
        break;
      case "Q":
        return false;
      case "H":
      case "T":
      case "U":
        send(continuePacket);
        break;
      default:
        throw new MilterProtocolError(`an unknown command ${JSON.stringify(command)}`);
    }
    return true;
  };

  /** Whether the mail server waits for an answer to the command. */
  const awaitsAnswer = (command: string): boolean => {
    if (command === "L") return agreed?.replyToHeader ?? true;
    if (command === "B") return agreed?.replyToBody ?? true;
    return !"DAKQ".includes(command);
  };

  return {
    /** False when the session is over. A bug in a rule costs that message a temporary refusal, no more. */
    async take(packet: Packet): Promise<boolean> {
      try {
        return await dispatch(packet);
      } catch (cause) {
        if (cause instanceof MilterProtocolError || isConnectionReset(cause)) throw cause;
        log.error("a message could not be judged", { daemon: daemonName(), sender }, cause);
        dropMessage();
        if (!"ME".includes(packet.command)) message = failedMessage;
        if (awaitsAnswer(packet.command)) refuse(internalError, "internal error");
        return true;
      }
    },
    isIdle: () => message === null,
    close: dropMessage,
  };
}

/** Stands in for a message whose handler failed: the rest of it passes by, its end is refused. */
const failedMessage: MessageHandler = {
  recipient() {},
  header() {},
  endOfHeader() {},
  async body() {},
  end: async () => ({ refusal: internalError, detail: "internal error" }),
  abort() {},
};

function encodeChange(change: Change, { headerLeadingSpace }: Negotiated): Buffer {
  const space = (value: string): string => (headerLeadingSpace ? value : value.replace(/^ /, ""));
  switch (change.kind) {
    case "insert header":
      return encodeInsertHeader(0, change.name, space(change.value));
    case "replace header":
      return encodeChangeHeader(change.index, change.name, space(change.value));
    case "remove header":
      return encodeChangeHeader(change.index, change.name, "");
    case "empty sender":
      return encodeChangeSender("<>");
  }
}
