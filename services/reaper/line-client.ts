/** A conversation by lines over a unix socket, for the two of Dovecot's protocols that are spoken here. */
import { connect } from "node:net";
import { createInterface } from "node:readline";

/** For one line, in milliseconds: a busy card may take seconds for what stands behind it. */
const LINE_LIMIT_MS = 60_000;

/** The peer is not there, ended the conversation, or is silent. */
export class ConversationError extends Error {
  override name = "ConversationError";
}

export type Conversation = AsyncDisposable &
  Readonly<{
    say(text: string): void;
    /** @throws ConversationError */
    line(): Promise<string>;
  }>;

/** @param peer who is there, for messages. Plain characters alone are spoken (Latin-1). */
export function converse(path: string, peer: string, limitMs: number = LINE_LIMIT_MS): Conversation {
  const socket = connect(path);
  socket.setTimeout(limitMs, () => socket.destroy(new Error("no answer in time")));
  let failure: Error | undefined;
  socket.on("error", (cause) => {
    failure = cause;
  });
  const lines = createInterface({ input: socket.setEncoding("latin1"), crlfDelay: Number.POSITIVE_INFINITY });
  const next = lines[Symbol.asyncIterator]();
  return {
    say: (text) => void socket.write(text, "latin1"),
    async line() {
      const { value, done } = await next.next();
      if (done)
        throw new ConversationError(`${peer} (${path}): ${failure?.message ?? "it ended the connection"}`);
      return value;
    },
    async [Symbol.asyncDispose]() {
      lines.close();
      socket.destroy();
    },
  };
}
