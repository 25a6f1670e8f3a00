/**
 * Reading lines and counted bytes from a socket with a time limit: what the plain SMTP and IMAP sessions
 * of the tests share. The socket can be exchanged for a TLS one (STARTTLS).
 */
import type { Socket } from "node:net";

/** Longest silence of a server that is not idling, in milliseconds. */
const READ_TIMEOUT = 30_000;

export type LineReader = Readonly<{
  /** The next line without its CRLF. Throws when the peer closes or says nothing for too long. */
  line: () => Promise<string>;
  /** The next `count` bytes. */
  bytes: (count: number) => Promise<Buffer>;
  /** Takes the socket's data from now on. */
  attach: (socket: Socket) => void;
  /** Leaves the socket to somebody else. */
  detach: () => void;
}>;

/** `peer` names the other side in error messages. */
export function createLineReader(peer: string): LineReader {
  let buffer: Buffer = Buffer.alloc(0);
  let socket: Socket | undefined;
  let failure: string | undefined;
  let wake = () => {};

  const onData = (chunk: Buffer) => {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    wake();
  };
  const onError = (error: Error) => {
    failure = `connection to ${peer} failed: ${error.message}`;
    wake();
  };
  const onClose = () => {
    failure ??= `${peer} closed the connection`;
    wake();
  };

  /** Takes what `cut` finds at the buffer's start, waiting for data as often as needed. */
  const take = async <T>(cut: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = cut();
      if (found !== undefined) return found;
      if (failure !== undefined) throw new Error(failure);
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${peer} said nothing for ${READ_TIMEOUT} ms`)),
          READ_TIMEOUT,
        );
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };

  return {
    line: () =>
      take(() => {
        const end = buffer.indexOf("\r\n");
        if (end < 0) return undefined;
        const line = buffer.toString("utf8", 0, end);
        buffer = buffer.subarray(end + 2);
        return line;
      }),
    bytes: (count) =>
      take(() => {
        if (buffer.length < count) return undefined;
        const bytes = buffer.subarray(0, count);
        buffer = buffer.subarray(count);
        return bytes;
      }),
    attach: (newSocket) => {
      socket = newSocket.on("data", onData).on("error", onError).on("close", onClose);
    },
    detach: () => {
      socket?.off("data", onData).off("error", onError).off("close", onClose);
    },
  };
}
