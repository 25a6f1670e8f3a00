/**
 * NAT-PMP (RFC 6886): a router's outer address, and ports that it forwards to whoever asks. Called by router.ts and
 * forward.ts. I/O by datagrams.ts.
 */
import type { ServerPlace } from "../dns/exchange.ts";
import { askRouter, toChange } from "./datagrams.ts";
import { type Forwarder, RefusedError } from "./forwarder.ts";
import type { RouterPort } from "./relay-ports.ts";

/** §3.1; PCP has it too. */
export const mappingPort = 5351;

const VERSION = 0;
const operations = { outerAddress: 0, udp: 1, tcp: 2 } as const;
/** Added to the operation in an answer. */
const ANSWER = 128;
/** Version, operation, result, seconds of the epoch, address; §3.2. In bytes. */
const ADDRESS_ANSWER_LENGTH = 12;
/** The same with two ports and a lifetime; §3.3. */
const MAP_ANSWER_LENGTH = 16;

/** §3.5. */
const refusals: Readonly<Record<number, string>> = {
  1: "it does not speak this version",
  2: "its settings forbid it",
  3: "it has no address itself",
  4: "it has no room for more",
  5: "it does not forward ports",
};

/** The outer IPv4 address by the router's own account; null when it does not tell. */
export async function outerAddressByNatPmp(place: ServerPlace, signal: AbortSignal): Promise<string | null> {
  const question = Buffer.from([VERSION, operations.outerAddress]);
  const answer = await askRouter(
    place,
    () => question,
    isAnswer(operations.outerAddress, ADDRESS_ANSWER_LENGTH),
    signal,
  );
  if (answer === null || answer.readUInt16BE(2) !== 0 || answer.readUInt32BE(8) === 0) return null;
  return answer.subarray(8).join(".");
}

/** Forwards to this computer alone: the protocol knows no other target. */
export function natPmpForwarder(place: ServerPlace, own: string): Forwarder {
  return {
    way: "nat-pmp",
    async open({ protocol, port, target, seconds }, signal) {
      if (target !== own) throw new RefusedError("only a device itself can ask for its ports");
      const given = await map(place, { protocol, port }, { outer: port, seconds }, signal);
      if (given.outer === port) return { seconds: given.seconds };
      // §3.3: it gives another port where the wished one is taken.
      await map(place, { protocol, port }, { outer: 0, seconds: 0 }, signal);
      throw new RefusedError("another device has that port");
    },
    async close({ protocol, port, target }, signal) {
      if (target !== own) return "absent";
      // §3.4: what is not there is taken back with success.
      await map(place, { protocol, port }, { outer: 0, seconds: 0 }, signal);
      return "unseen";
    },
  };
}

async function map(
  place: ServerPlace,
  { protocol, port: inner }: RouterPort,
  { outer, seconds }: Readonly<{ outer: number; seconds: number }>,
  signal: AbortSignal,
) {
  const question = Buffer.alloc(12);
  question.writeUInt8(operations[protocol], 1);
  question.writeUInt16BE(inner, 4);
  question.writeUInt16BE(outer, 6);
  question.writeUInt32BE(seconds, 8);
  const isMapped = isAnswer(operations[protocol], MAP_ANSWER_LENGTH);
  const isMine = (answer: Buffer) =>
    isMapped(answer) && (answer.readUInt16BE(2) !== 0 || answer.readUInt16BE(8) === inner);
  const answer = await askRouter(place, () => question, isMine, signal, toChange);
  if (answer === null) throw new RefusedError("no answer", { isSilence: true });
  const result = answer.readUInt16BE(2);
  if (result !== 0) throw new RefusedError(refusals[result] ?? `result ${result}`);
  return { outer: answer.readUInt16BE(10), seconds: answer.readUInt32BE(12) };
}

const isAnswer = (operation: number, length: number) => (answer: Buffer) =>
  answer.length >= length && answer[0] === VERSION && answer[1] === ANSWER + operation;
