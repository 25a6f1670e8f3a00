/**
 * A connection of another service of the relay that says commands of one line each and gets an answer to each, in order
 * (news-session.ts). Called by service.ts. Whoever says something else is cut off: only a broken
 * program can, for the socket belongs to one user.
 */
import type { Socket } from "node:net";
import { describeError, type Log } from "../lib/log.ts";

/** A command and an address (64 + 1 + 253 characters) fit in twice over. */
const maxLineBytes = 1024;

/** A line that is no command. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** @param answer gives the lines of an answer, each with its end. @throws CommandError, or whatever failed. */
export function serveLines(
  socket: Socket,
  { answer, log }: Readonly<{ answer: (line: string) => string; log: Log }>,
): void {
  let rest = "";
  const work = (): void => {
    // While the peer does not read its answers we take no more questions.
    while (!socket.writableNeedDrain && !socket.destroyed) {
      const end = rest.indexOf("\n");
      if (end < 0) break;
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      socket.write(answer(line), "latin1");
    }
    if (rest.length > maxLineBytes && !rest.includes("\n")) throw new CommandError("a line is too long");
    if (socket.writableNeedDrain) socket.pause();
    else socket.resume();
  };
  const guarded = (): void => {
    try {
      work();
    } catch (cause) {
      log.error("cutting off a service that asked", { cause: describeError(cause) });
      socket.destroy();
    }
  };
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.toString("latin1");
    guarded();
  });
  socket.on("drain", guarded);
  socket.on("error", (cause) => {
    log.debug("a service went away", { cause: describeError(cause) });
    socket.destroy();
  });
}

/** The words of a command. @throws CommandError when there are characters that no address has. */
export function wordsOf(line: string): string[] {
  if (!/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(line)) throw new CommandError("a line is no command");
  return line.split(" ");
}
