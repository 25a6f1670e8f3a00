/**
 * The replies of an LMTP server (RFC 5321 §4.2), each whole and as it was written, to whoever waits for it: they come in
 * the order of the commands. Called by conversation.ts.
 */
import type { Socket } from "node:net";

export type LmtpReply = Readonly<{ code: number; bytes: Buffer }>;

/** A reply of Dovecot's has a line or ten, each within the limit of RFC 5321 §4.5.3.1.5 and the length of an address. */
const MAX_REPLY_BYTES = 16_384;

export type Replies = Readonly<{
  /** Calls once with the next reply that nobody else waits for; undefined when the connection ended before. */
  expect: (handler: (reply: LmtpReply | undefined) => void) => void;
  /** How many are waited for. */
  awaited: () => number;
}>;

/** Ends the connection of a server that says something else than replies. */
export function readReplies(socket: Socket, unasked: (reply: LmtpReply) => void): Replies {
  const waiting: ((reply: LmtpReply | undefined) => void)[] = [];
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    let start = 0;
    for (let from = 0, end = text.indexOf("\n"); end >= 0; from = end + 1, end = text.indexOf("\n", from)) {
      const line = text.slice(from, end);
      if (!/^[2-5]\d\d[ \r-]/.test(line)) {
        socket.destroy();
        return;
      }
      if (line[3] === "-") continue;
      const reply = {
        code: Number(line.slice(0, 3)),
        bytes: Buffer.from(text.slice(start, end + 1), "latin1"),
      };
      start = end + 1;
      const handler = waiting.shift() ?? unasked;
      handler(reply);
    }
    text = text.slice(start);
    if (text.length > MAX_REPLY_BYTES) socket.destroy();
  });
  let isClosed = false;
  socket.once("close", () => {
    isClosed = true;
    for (const handler of waiting.splice(0)) handler(undefined);
  });
  return {
    expect: (handler) => {
      if (isClosed) handler(undefined);
      else waiting.push(handler);
    },
    awaited: () => waiting.length,
  };
}

/** What would take a message another way than DATA, or hide the conversation, or change who is who. */
const notForUs = /^(CHUNKING|BINARYMIME|BURL|STARTTLS|XCLIENT|AUTH)\b/i;

/** The reply to LHLO without what is not for us. The first line is a name. */
export function withoutExtensions({ code, bytes }: LmtpReply): LmtpReply {
  const [name = "", ...rest] = bytes
    .toString("latin1")
    .split(/\r?\n/)
    .filter((line) => line !== "")
    .map((line) => line.slice(4));
  const kept = [name, ...rest.filter((extension) => !notForUs.test(extension))];
  const lines = kept.map((line, i) => `${code}${i === kept.length - 1 ? " " : "-"}${line}\r\n`);
  return { code, bytes: Buffer.from(lines.join(""), "latin1") };
}
