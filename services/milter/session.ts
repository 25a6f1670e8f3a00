/**
 * What a connection from the mail server says, from negotiation to QUIT: a state machine over packets. Postfix
 * sends any number of messages over one; an ABORT ends a message early, and after a refused message the session
 * goes on. Rules live behind `BeginMessage`, sockets and time limits in connection.ts, which calls this.
 */
import { isCanaryAddress } from "../../appliance/canary.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { VerdictCounts } from "./counts.ts";
import { type Change, isRefusal, type MessageHandler, type Progress } from "./message.ts";
import { type Negotiated, negotiate } from "./negotiation.ts";
import type { Packet } from "./packet-reader.ts";
import {
  continuePacket,
  decodeAddress,
  decodeConnect,
  decodeHeader,
  decodeMacros,
  encodeAddHeader,
  encodeChangeHeader,
  encodeChangeSender,
  encodeInsertHeader,
  encodeRefusal,
  MilterProtocolError,
  skipPacket,
} from "./protocol.ts";
import { internalError, type Refusal, replyLine, serverMisconfigured } from "./refusal.ts";

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
  /** Without it nothing is counted; what the canary sends never is. */
  counts?: VerdictCounts;
  log: Log;
}>;

export type Session = Readonly<{
  /**
   * Does what the packet asks; a promise when that takes time, and no other packet may come before it resolves.
   * A bug in a rule costs that message a temporary refusal, no more. Throws MilterProtocolError.
   */
  take(packet: Packet): void | Promise<void>;
  /** Refuses the message under way for now, and lets go of it: its end took too long. */
  giveUp(reason: string): void;
  hasNegotiated(): boolean;
  /** Whether the end of a message is being decided, which may take a DNS server's time. */
  isDeciding(): boolean;
  /** Whether no message is under way. */
  isIdle(): boolean;
  /** Whether the mail server said QUIT. */
  isOver(): boolean;
  /** Lets go of everything. */
  close(): void;
}>;

/** A message under way. */
type Current = {
  readonly handler: MessageHandler;
  readonly sender: string;
  stage: "envelope" | "header" | "body" | "end";
  /** Answered as soon as an answer is due. */
  progress: Progress;
};

export function createSession(
  send: (packet: Buffer) => void,
  { daemons, counts, log }: SessionOptions,
): Session {
  let agreed: Negotiated | null = null;
  let isConnected = false;
  let isOver = false;
  let clientAddress: string | null = null;
  let daemonName = "";
  /** Who logged in, said right before the message it counts for. */
  let login: string | undefined;
  let queueId: string | undefined;
  let current: Current | null = null;
  /** What counts the message of the last MAIL FROM. */
  let countsOfThis = counts;

  const forgetClient = (): void => {
    current = null;
    isConnected = false;
    clientAddress = null;
    daemonName = "";
    login = undefined;
    queueId = undefined;
  };

  const refuse = (refusal: Refusal, detail: string, sender: string): void => {
    log.info("refused", { daemon: daemonName, queueId, sender, reply: replyLine(refusal), detail });
    countsOfThis?.verdict(daemonName, refusal.reason);
    current = null;
    send(encodeRefusal(refusal));
  };

  const macros = (data: Buffer): void => {
    const { command, macros: values } = decodeMacros(data);
    if (command === "C") daemonName = values.get("daemon_name") ?? "";
    if (command === "M") login = values.get("auth_authen");
    queueId = values.get("i") ?? queueId;
  };

  const beginMessage = (data: Buffer): void => {
    if (current !== null) throw outOfOrder("M");
    const sender = decodeAddress(data);
    const envelope = { sender, login, clientAddress };
    // By who logged in: a sender's address is what anybody likes to write.
    countsOfThis = login !== undefined && isCanaryAddress(login) ? undefined : counts;
    // What was said for one message, the login above all, is never taken for the next.
    login = undefined;
    queueId = undefined;
    const begin = daemons.get(daemonName);
    if (begin === undefined) {
      log.error(
        "Postfix came by a daemon name that has no rules: see milter_macro_daemon_name in its configuration",
        { daemon: daemonName },
      );
      refuse(serverMisconfigured, "unknown daemon name", sender);
      return;
    }
    const begun = begin(envelope);
    if (isRefusal(begun)) {
      refuse(begun, "MAIL FROM", sender);
    } else {
      current = { handler: begun, sender, stage: "envelope", progress: "more" };
      send(continuePacket);
    }
  };

  /** The message under way, at a stage in which the command may come. */
  const currentFor = (command: string, ...stages: Current["stage"][]): Current => {
    if (current === null || !stages.includes(current.stage)) throw outOfOrder(command);
    return current;
  };

  const endHeader = (message: Current): void => {
    if (message.stage === "body") return;
    message.stage = "body";
    message.progress = message.handler.endOfHeader();
  };

  /** Answers "no more of it" or the refusal, once it is certain. */
  const answer = (message: Current, isBody: boolean): void => {
    const { progress, sender } = message;
    if (typeof progress !== "string") refuse(progress.refusal, progress.detail, sender);
    else send(isBody && progress === "enough" && agreed!.skip ? skipPacket : continuePacket);
  };

  const writeBody = (message: Current, data: Buffer): void => {
    endHeader(message);
    if (message.progress === "more" && data.length > 0) message.progress = message.handler.body(data);
  };

  const body = ({ data, isWhole }: Packet): void => {
    const message = currentFor("B", "envelope", "header", "body");
    writeBody(message, data);
    if (isWhole) answer(message, true);
  };

  const endMessage = async ({ data }: Packet): Promise<void> => {
    const message = currentFor("E", "envelope", "header", "body");
    writeBody(message, data);
    message.stage = "end";
    const started = performance.now();
    const decision = typeof message.progress === "string" ? await message.handler.end() : message.progress;
    if (current !== message) return;
    countsOfThis?.decided((performance.now() - started) / 1000, daemonName);
    if ("refusal" in decision) return refuse(decision.refusal, decision.detail, message.sender);
    const packets = decision.changes.map((change) => encodeChange(change, agreed!));
    if (packets.includes(null)) {
      log.error("the mail server does not let a milter change what has to be changed: see milter_protocol");
      return refuse(serverMisconfigured, "a change that was not negotiated", message.sender);
    }
    countsOfThis?.verdict(daemonName, "accepted");
    current = null;
    for (const packet of packets) send(packet!);
    send(continuePacket);
  };

  const dispatch = (packet: Packet): void | Promise<void> => {
    const { command, data } = packet;
    if (agreed === null && command !== "O")
      throw new MilterProtocolError(`the command ${command} before negotiation`);
    switch (command) {
      case "O": {
        if (isConnected) throw outOfOrder(command);
        const { answer, agreed: result } = negotiate(data);
        agreed = result;
        return send(answer);
      }
      case "D":
        return macros(data);
      case "C":
        if (current !== null) throw outOfOrder(command);
        clientAddress = decodeConnect(data).address;
        isConnected = true;
        if (agreed!.replyTo.connect) send(continuePacket);
        return;
      case "M":
        if (!isConnected) throw outOfOrder(command);
        return beginMessage(data);
      case "R":
        currentFor(command, "envelope").handler.recipient(decodeAddress(data));
        if (agreed!.replyTo.recipient) send(continuePacket);
        return;
      case "L": {
        const message = currentFor(command, "envelope", "header");
        message.stage = "header";
        const { name, value } = decodeHeader(data);
        message.handler.header(name, agreed!.headerLeadingSpace ? value : ` ${value}`);
        if (agreed!.replyTo.header) send(continuePacket);
        return;
      }
      case "N": {
        const message = currentFor(command, "envelope", "header");
        endHeader(message);
        return answer(message, false);
      }
      case "B":
        return body(packet);
      case "E":
        return endMessage(packet);
      case "A":
        login = undefined;
        current = null;
        return;
      case "K":
        // QUIT_NC: another SMTP session over the same connection; CONNECT follows.
        return forgetClient();
      case "Q":
        isOver = true;
        return;
      case "H":
      case "T":
      case "U":
        return send(continuePacket);
      default:
        throw new MilterProtocolError(`an unknown command ${JSON.stringify(command)}`);
    }
  };

  /** Whether the mail server waits for an answer to the packet. */
  const awaitsAnswer = ({ command, isWhole }: Packet): boolean => {
    if (command === "L") return agreed?.replyTo.header ?? true;
    if (command === "R") return agreed?.replyTo.recipient ?? true;
    return isWhole && !"DAKQ".includes(command);
  };

  const fail = (packet: Packet, message: Current | null, cause: unknown): void => {
    if (cause instanceof MilterProtocolError) throw cause;
    if (message !== null && message !== current) {
      log.debug("a message that nobody waits for any more failed", { cause: describeError(cause) });
      return;
    }
    const sender = current?.sender ?? "";
    log.error("a message could not be judged", { daemon: daemonName, sender }, cause);
    const stage = current?.stage ?? "envelope";
    if (awaitsAnswer(packet)) refuse(internalError, "internal error", sender);
    else current = { handler: failedMessage, sender, stage, progress: failure };
  };

  return {
    take(packet) {
      const message = current;
      try {
        const result = dispatch(packet);
        return result instanceof Promise ? result.catch((cause) => fail(packet, message, cause)) : result;
      } catch (cause) {
        return fail(packet, message, cause);
      }
    },
    giveUp(reason) {
      const sender = current?.sender ?? "";
      refuse(internalError, reason, sender);
    },
    hasNegotiated: () => agreed !== null,
    isDeciding: () => current?.stage === "end",
    isIdle: () => current === null,
    isOver: () => isOver,
    close() {
      current = null;
    },
  };
}

function outOfOrder(command: string): MilterProtocolError {
  return new MilterProtocolError(`the command ${command} out of order`);
}

const failure = { refusal: internalError, detail: "internal error" } as const;

/** Stands in for a message whose handler failed where no answer was due: it is refused where one is. */
const failedMessage: MessageHandler = {
  recipient() {},
  header() {},
  endOfHeader: () => failure,
  body: () => failure,
  end: async () => failure,
};

/** The packet for a change, or null when the mail server does not let us make it. */
function encodeChange(change: Change, { headerLeadingSpace, may }: Negotiated): Buffer | null {
  const space = (value: string): string => (headerLeadingSpace ? value : value.replace(/^ /, ""));
  switch (change.kind) {
    case "insert header":
      if (may.insertHeaders) return encodeInsertHeader(0, change.name, space(change.value));
      return may.addHeaders ? encodeAddHeader(change.name, space(change.value)) : null;
    case "replace header":
      return may.changeHeaders ? encodeChangeHeader(change.index, change.name, space(change.value)) : null;
    case "remove header":
      return may.changeHeaders ? encodeChangeHeader(change.index, change.name, "") : null;
    case "empty sender":
      return may.changeSender ? encodeChangeSender("<>") : null;
  }
}
