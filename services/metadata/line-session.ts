/**
 * A connection of a program of the relay that says commands of one line each and gets its answers in order: Dovecot's
 * dict client (session.ts) and services/door (news-session.ts). Called by service.ts. Whoever says something else is cut
 * off: only a broken program can, for each socket belongs to one user.
 */
import type { Socket } from "node:net";
import { describeError, type Log } from "../lib/log.ts";

/** A line that is no command. */
export class CommandError extends Error {
  override name = "CommandError";
}

export type LineSession = Readonly<{
  /** Who speaks, for the log. */
  peer: string;
  /** Of one line, without its end. */
  maxLineBytes: number;
  /** The lines of an answer, each with its end; undefined when there is none. Whatever it throws cuts the peer off. */
  answer: (line: string) => string | undefined;
  log: Log;
}>;

/** Serves `socket` until it ends. */
export function serveLines(socket: Socket, { peer, maxLineBytes, answer, log }: LineSession): void {
  let rest: Buffer = Buffer.alloc(0);
  const work = (): void => {
    // While the peer does not read its answers we take no more questions.
    while (!socket.writableNeedDrain && !socket.destroyed) {
      const end = rest.indexOf(0x0a);
      if (end < 0) break;
      if (end > maxLineBytes) throw new CommandError("a line is too long");
      const line = rest.toString("latin1", 0, end);
      rest = rest.subarray(end + 1);
      const reply = answer(line);
      if (reply !== undefined) socket.write(reply, "latin1");
    }
    if (rest.length > maxLineBytes && rest.indexOf(0x0a) < 0) throw new CommandError("a line is too long");
    if (socket.writableNeedDrain) socket.pause();
    else socket.resume();
  };
  const guarded = (): void => {
    try {
      work();
    } catch (cause) {
      log.warn(`cutting off ${peer}`, { cause: describeError(cause) });
      socket.destroy();
    }
  };
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    guarded();
  });
  socket.on("drain", guarded);
  // Dovecot closes connections as it likes, also in the middle of an answer it no longer wants.
  socket.on("error", (cause) => {
    log.debug(`${peer} went away`, { cause: describeError(cause) });
    socket.destroy();
  });
}
