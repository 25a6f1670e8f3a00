/**
 * One question by datagram to a router, sent again until it is answered. Used by nat-pmp.ts and pcp.ts, which share port
 * and timing (RFC 6886 §3.1, RFC 6887 §8.1.1). I/O: one socket.
 */
import { createSocket } from "node:dgram";
import type { ServerPlace } from "../dns/exchange.ts";

type Patience = Readonly<{ sending: readonly number[]; limit: number }>;

/** RFC 6886 §3.1: 250 ms, then doubled. A router on the same network that has not answered by then never will. */
const toLook: Patience = { sending: [0, 250, 750], limit: 1750 };
/** For one that has answered before: it may be busy, or write to its flash. */
export const toChange: Patience = { sending: [0, 250, 750, 1750, 3750], limit: 7750 };

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
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    let timers: NodeJS.Timeout[] = [];
    const end = (found: Buffer | null) => {
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener("abort", nothing);
      socket.removeAllListeners();
      socket.on("error", () => {}); // of a socket that nobody waits for any more
      socket.close();
      resolve(found);
    };
    const nothing = () => end(null);
    if (signal.aborted) return nothing();
    signal.addEventListener("abort", nothing);
    socket.on("error", nothing);
    socket.on("message", (answer) => isAnswer(answer) && end(answer));
    // The system then drops datagrams of other senders, as RFC 6886 §3.1 wants.
    socket.connect(port, address, (error?: Error) => {
      if (error instanceof Error) return nothing();
      const bytes = question(socket.address().address);
      timers = [
        ...patience.sending.map((after) => setTimeout(() => socket.send(bytes), after)),
        setTimeout(nothing, patience.limit),
      ];
    });
  });
}
