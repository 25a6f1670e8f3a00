/**
 * A connection for the fuzzer whose peer sends given pieces and reads at once or as late as it can: what a service writes to
 * it, and whether it cut it off. Synchronous, so that thousands of conversations a second can be had.
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";

export type Heard = Readonly<{
  /** Latin-1. */
  written: string;
  isCut: boolean;
  /** It was written to though its peer had not read what came before: answers would pile up in memory. */
  isPiling: boolean;
}>;

export type Peer = Readonly<{
  /** Lengths of the pieces, again and again; one piece without it. */
  cuts?: readonly number[];
  readsLate?: boolean;
}>;

export function converse(
  serve: (socket: Socket) => void,
  input: string,
  { cuts = [Number.MAX_SAFE_INTEGER], readsLate = false }: Peer,
): Heard {
  let written = "";
  let isPiling = false;
  const socket = Object.assign(new EventEmitter(), {
    writableNeedDrain: false,
    destroyed: false,
    write(text: string, encoding: string) {
      if (encoding !== "latin1") throw new Error(`text is written as ${encoding}`);
      if (socket.writableNeedDrain) isPiling = true;
      written += text;
      socket.writableNeedDrain = readsLate;
      return !readsLate;
    },
    pause: () => socket,
    resume: () => socket,
    destroy() {
      socket.destroyed = true;
      return socket;
    },
  });
  serve(socket as unknown as Socket);
  const bytes = Buffer.from(input, "latin1");
  for (let at = 0, index = 0; at < bytes.length && !socket.destroyed; index++) {
    const length = cuts[index % cuts.length]!;
    socket.emit("data", bytes.subarray(at, at + length));
    at += length;
    while (socket.writableNeedDrain && !socket.destroyed) {
      socket.writableNeedDrain = false;
      socket.emit("drain");
    }
  }
  return { written, isCut: socket.destroyed, isPiling };
}

/** The ways in which every input is sent. */
export const peers: readonly Peer[] = [
  {},
  { cuts: [1, 7, 2, 31, 3] },
  { readsLate: true },
  { cuts: [64, 1], readsLate: true },
];
