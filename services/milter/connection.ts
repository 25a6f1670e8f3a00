/**
 * The socket side of one milter connection: bytes in, packets to session.ts, answers out. Everything that a slow,
 * silent or vanishing peer could hold on to is bounded here by `connectionLimits`. Called by service.ts for every
 * connection.
 */
import type { Socket } from "node:net";
import { createPacketReader } from "./packet-reader.ts";
import { MilterProtocolError, progressPacket } from "./protocol.ts";
import { createSession, type SessionOptions } from "./session.ts";

/** Times in milliseconds, sizes in bytes. */
export const connectionLimits = {
  /** From connecting to the negotiation: Postfix says it at once. */
  negotiationMs: 30_000,
  /** From the first to the last byte of a packet. Postfix writes whole packets. */
  packetMs: 60_000,
  /** For reading our answers, once more than `unreadBytes` of them wait. */
  answerMs: 60_000,
  /**
   * Between two packets. Postfix says nothing while a client thinks (smtpd_timeout: 120 s at each command, 10 s under stress) or sends
   * its message, however slowly; libmilter waits 7210 s (smfi_settimeout), so do we.
   */
  idleMs: 7_210_000,
  /** How often the mail server is told that an end of message is still being decided; it waits 60 s. */
  progressMs: 10_000,
  /** After this the message is deferred: SMTP clients wait 10 minutes (RFC 5321 §4.5.3.2.6), DNS takes seconds. */
  decisionMs: 120_000,
  /** Answers that may wait unread: a message's answer takes a few kilobytes. */
  unreadBytes: 64 * 1024,
} as const;

export type ConnectionLimits = Readonly<Record<keyof typeof connectionLimits, number>>;

export type ConnectionOptions = SessionOptions & Readonly<{ limits?: ConnectionLimits }>;

export type RunningConnection = Readonly<{
  /** Resolves when the connection is over. Never rejects: what goes wrong is logged, and the connection closed. */
  done: Promise<void>;
  /** Ends the connection: at once between two messages, else when the one under way has its answer. */
  finish(): void;
}>;

/** Serves the connection until it ends. */
export function serveConnection(socket: Socket, options: ConnectionOptions): RunningConnection {
  const { log, limits = connectionLimits } = options;
  const reader = createPacketReader();
  const answers: Buffer[] = [];
  const session = createSession((packet) => void answers.push(packet), options);
  const done = Promise.withResolvers<void>();
  /** A packet is being worked on that takes time: nothing is read meanwhile. */
  let isWorking = false;
  let isFinishing = false;
  let isClosed = false;
  /** Ends the wait for the work under way, when there is any. */
  let stopWaiting: (() => void) | null = null;

  const watch = createWatch((what) => {
    log.warn("a milter connection was closed: its peer was too slow", { waitedFor: what });
    socket.destroy();
  });

  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    session.close();
    stopWaiting?.();
    // Answers that were written are still sent, and somebody has to read them.
    watch.await("reading our last answers", limits.answerMs);
    socket.destroySoon();
  };

  /** Writes all answers at once: fewer system calls, and one for a whole message's changes. */
  const flush = (): void => {
    if (answers.length > 0) socket.write(answers.length === 1 ? answers[0]! : Buffer.concat(answers));
    answers.length = 0;
  };

  const breakOff = (cause: unknown): void => {
    if (isClosed) return;
    if (isGone(cause)) log.debug("the mail server closed a milter connection early");
    else log.error("a milter connection broke off", {}, cause);
    close();
  };

  /** Says what may be waited for, and for how long; stops reading while a peer does not read. */
  const waitOn = (): void => {
    if (socket.writableLength > limits.unreadBytes) {
      socket.pause();
      watch.await("reading our answers", limits.answerMs);
    } else if (isWorking) {
      watch.stop();
    } else if (reader.isInside()) {
      watch.await("the rest of a packet", limits.packetMs);
    } else if (!session.hasNegotiated()) {
      watch.await("the negotiation", limits.negotiationMs);
    } else {
      watch.restart("a command", limits.idleMs);
    }
  };

  /** Works on the packets that are there until one takes time. */
  const work = (): void => {
    try {
      for (let packet = reader.next(); packet !== null; packet = reader.next()) {
        const working = session.take(packet);
        if (packet.isWhole) watch.forget("the rest of a packet");
        if (session.isOver() || (isFinishing && session.isIdle())) {
          flush();
          close();
          return;
        }
        if (working !== undefined) {
          isWorking = true;
          socket.pause();
          flush();
          waitOn();
          void whileDeciding(working).then(proceed, breakOff);
          return;
        }
      }
      flush();
      waitOn();
    } catch (cause) {
      // What was refused before the packet that is none is still answered.
      flush();
      breakOff(cause);
    }
  };

  const proceed = (): void => {
    if (isClosed) return;
    isWorking = false;
    if (isFinishing && session.isIdle()) {
      flush();
      close();
      return;
    }
    work();
    if (!isWorking && socket.writableLength <= limits.unreadBytes) socket.resume();
  };

  /** Keeps the mail server from losing patience while a DNS server takes its time. */
  const whileDeciding = async (working: Promise<void>): Promise<void> => {
    const stopped = Promise.withResolvers<void>();
    stopWaiting = stopped.resolve;
    const started = performance.now();
    const timer = setInterval(() => {
      if (!session.isDeciding()) return;
      if (performance.now() - started < limits.decisionMs) return void socket.write(progressPacket);
      log.error("the end of a message was not decided in time", { limitMs: limits.decisionMs });
      session.giveUp("decision took too long");
      stopped.resolve();
    }, limits.progressMs);
    try {
      await Promise.race([working, stopped.promise]);
    } finally {
      clearInterval(timer);
      stopWaiting = null;
    }
  };

  socket.on("data", (bytes: Buffer) => {
    reader.push(bytes);
    work();
  });
  socket.on("drain", () => {
    if (isClosed || isWorking) return;
    waitOn();
    socket.resume();
  });
  socket.on("error", breakOff);
  socket.on("end", () => {
    if (reader.isInside()) breakOff(new MilterProtocolError("the connection ended inside a packet"));
  });
  socket.on("close", () => {
    close();
    watch.stop();
    done.resolve();
  });
  waitOn();

  return {
    done: done.promise,
    finish() {
      isFinishing = true;
      if (session.isIdle() && !isWorking) close();
    },
  };
}

/** Postfix went away in the middle of something: it has logged why, and the mail is still there. */
function isGone(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && ["ECONNRESET", "EPIPE"].includes(String(cause.code));
}

/** Watches over the one thing that is waited for. */
function createWatch(onExpired: (what: string) => void) {
  let timer: NodeJS.Timeout | null = null;
  let awaited = "";
  const stop = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    awaited = "";
  };
  const start = (what: string, milliseconds: number): void => {
    stop();
    awaited = what;
    timer = setTimeout(() => onExpired(what), milliseconds);
  };
  return {
    stop,
    /** The time runs on when this is waited for already. */
    await(what: string, milliseconds: number): void {
      if (awaited !== what) start(what, milliseconds);
    },
    /** The time begins anew. */
    restart(what: string, milliseconds: number): void {
      if (awaited === what) timer?.refresh();
      else start(what, milliseconds);
    },
    /** It came; the next of its kind has its own time. */
    forget(what: string): void {
      if (awaited === what) awaited = "";
    },
  };
}
