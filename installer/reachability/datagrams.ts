/**
 * Questions by datagram, sent again until they are answered: those to a router of nat-pmp.ts and pcp.ts, which share port
 * and timing (RFC 6886 §3.1, RFC 6887 §8.1.1), and the searches of upnp-search.ts. I/O: one socket each.
 */
import { createSocket, type Socket } from "node:dgram";
import type { ServerPlace } from "../dns/exchange.ts";

type Patience = Readonly<{ sending: readonly number[]; limit: number }>;

/** RFC 6886 §3.1: 250 ms, then doubled. A router on the same network that has not answered by then never will. */
const toLook: Patience = { sending: [0, 250, 750], limit: 1750 };
/** For one that has answered before: it may be busy, or write to its flash. */
export const toChange: Patience = { sending: [0, 250, 750, 1750, 3750], limit: 7750 };

/** What a question has to work with: a socket, its end with what was found, and timers that end with it. */
type Asking<T> = Readonly<{
  socket: Socket;
  end: (found: T | null) => void;
  after: (milliseconds: number, act: () => void) => void;
}>;

/** What `ask` finds by the datagrams of one socket; null when it finds nothing, the socket fails or the signal stops it. */
export function byDatagrams<T>(signal: AbortSignal, ask: (asking: Asking<T>) => void): Promise<T | null> {
  if (signal.aborted) return Promise.resolve(null);
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const timers: NodeJS.Timeout[] = [];
    let isOver = false;
    const end = (found: T | null) => {
      if (isOver) return;
      isOver = true;
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener("abort", nothing);
      socket.removeAllListeners();
      socket.on("error", () => {}); // of a socket that nobody waits for any more
      socket.close();
      resolve(found);
    };
    const nothing = () => end(null);
    const after = (milliseconds: number, act: () => void) => {
      if (!isOver) timers.push(setTimeout(act, milliseconds));
    };
    signal.addEventListener("abort", nothing);
    socket.on("error", nothing);
    ask({ socket, end, after });
  });
}

/**
 * The first answer that `isAnswer` takes; null when none comes, or the signal stops it. `question` is told the address
 * that the datagram leaves from.
 */
export function askRouter(
  { address, port }: ServerPlace,
  question: (from: string) => Buffer,
  isAnswer: (answer: Buffer) => boolean,
  signal: AbortSignal,
  patience: Patience = toLook,
): Promise<Buffer | null> {
  return byDatagrams<Buffer>(signal, ({ socket, end, after }) => {
    socket.on("message", (answer) => isAnswer(answer) && end(answer));
    // The system then drops datagrams of other senders, as RFC 6886 §3.1 wants.
    socket.connect(port, address, (error?: Error) => {
      if (error instanceof Error) return end(null);
      const bytes = question(socket.address().address);
      for (const milliseconds of patience.sending) after(milliseconds, () => socket.send(bytes));
      after(patience.limit, () => end(null));
    });
  });
}
