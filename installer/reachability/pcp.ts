/**
 * PCP (RFC 6887): whether a router speaks it, and ports that it forwards; to another device only where it knows the option
 * for that, which home routers mostly do not. Called by router.ts and forward.ts. I/O by datagrams.ts.
 */
import { createHmac } from "node:crypto";
import type { ServerPlace } from "../dns/exchange.ts";
import { askRouter, toChange } from "./datagrams.ts";
import { type Forwarder, type Forwarding, RefusedError } from "./forwarder.ts";

const VERSION = 2;
const NAT_PMP_VERSION = 0;
const operations = { announce: 0, map: 1 } as const;
/** Set in the operation of an answer; §7.2. */
const ANSWER = 0x80;
/** Of questions and answers alike; §7.1. In bytes. */
const HEADER_LENGTH = 24;
/** What a map has behind the header; §11.1. */
const MAP_LENGTH = 36;
const NONCE_LENGTH = 12;
/** For another device (§13.1), and: rather not than by another port (§13.2). */
const options = { thirdParty: 1, preferFailure: 2 } as const;
/** IANA's numbers. */
const protocols = { tcp: 6, udp: 17 } as const;

/** §7.4; what the others mean is a mistake of ours or of the router. */
const refusals: Readonly<Record<number, string>> = {
  2: "its settings forbid it",
  4: "it does not forward ports",
  5: "it does not do that for another device",
  6: "it does not do that for another device",
  7: "it has no connection itself",
  8: "it has no room for more",
  10: "this device has as many as it may",
  11: "another device has that port",
  12: "another router stands in between",
};

export async function speaksPcp(place: ServerPlace, signal: AbortSignal): Promise<boolean> {
  const ask = (from: string) => header(operations.announce, 0, from);
  const isKnown = isAnswer(operations.announce, HEADER_LENGTH);
  // RFC 6886 §3.5: who speaks NAT-PMP alone answers so to another version.
  const isOlder = (answer: Buffer) => answer[0] === NAT_PMP_VERSION;
  const answer = await askRouter(place, ask, (each) => isKnown(each) || isOlder(each), signal);
  return answer !== null && isKnown(answer) && answer[3] === 0;
}

/** `secret` makes the nonces, by which a forwarding is known again when it is prolonged or taken back (§11.1). */
export function pcpForwarder(place: ServerPlace, own: string, secret: Buffer): Forwarder {
  const request = (forwarding: Forwarding, seconds: number, signal: AbortSignal) =>
    map(place, forwarding, { own, seconds, nonce: nonceOf(secret, place, forwarding) }, signal);
  return {
    way: "pcp",
    async open({ seconds, ...forwarding }, signal) {
      const given = await request(forwarding, seconds, signal);
      if (given.outer === forwarding.port) return { seconds: given.seconds };
      // Of a router that does not know the option against it.
      await request(forwarding, 0, signal);
      throw new RefusedError(refusals[11]!);
    },
    async close(forwarding, signal) {
      // §15: what is not there is taken back with success.
      await request(forwarding, 0, signal);
      return "unseen";
    },
  };
}

type MapRequest = Readonly<{ own: string; seconds: number; nonce: Buffer }>;

async function map(
  place: ServerPlace,
  { protocol, port, target }: Forwarding,
  { own, seconds, nonce }: MapRequest,
  signal: AbortSignal,
) {
  const ask = (from: string) => {
    const body = Buffer.alloc(MAP_LENGTH);
    nonce.copy(body);
    body.writeUInt8(protocols[protocol], 12);
    body.writeUInt16BE(port, 16);
    body.writeUInt16BE(seconds === 0 ? 0 : port, 18);
    mappedAddress("0.0.0.0").copy(body, 20);
    const forAnother = target === own ? [] : [option(options.thirdParty, mappedAddress(target))];
    // §13.2: must not stand in what takes back.
    const exact = seconds === 0 ? [] : [option(options.preferFailure, Buffer.alloc(0))];
    return Buffer.concat([header(operations.map, seconds, from), body, ...forAnother, ...exact]);
  };
  const isMapped = isAnswer(operations.map, HEADER_LENGTH + MAP_LENGTH);
  const isMine = (answer: Buffer) => {
    const at = answer.subarray(HEADER_LENGTH);
    return isMapped(answer) && at.subarray(0, NONCE_LENGTH).equals(nonce) && at.readUInt16BE(16) === port;
  };
  const answer = await askRouter(place, ask, isMine, signal, toChange);
  if (answer === null) throw new RefusedError("no answer", { isSilence: true });
  const result = answer.readUInt8(3);
  if (result !== 0) throw new RefusedError(refusals[result] ?? `result ${result}`);
  return { outer: answer.readUInt16BE(HEADER_LENGTH + 18), seconds: answer.readUInt32BE(4) };
}

function header(operation: number, seconds: number, from: string): Buffer {
  const bytes = Buffer.alloc(HEADER_LENGTH);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(operation, 1);
  bytes.writeUInt32BE(seconds, 4);
  mappedAddress(from).copy(bytes, 8);
  return bytes;
}

/** §7.3. */
function option(code: number, data: Buffer): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt16BE(data.length, 2);
  return Buffer.concat([bytes, data]);
}

/** An IPv4 address as IPv6 writes it (RFC 4291 §2.5.5.2). */
function mappedAddress(address: string): Buffer {
  return Buffer.from([...Array<number>(10).fill(0), 0xff, 0xff, ...address.split(".").map(Number)]);
}

function nonceOf(secret: Buffer, { address }: ServerPlace, { protocol, port, target }: Forwarding): Buffer {
  const which = protocol === "tcp" ? port : `${protocol} ${port}`;
  const mac = createHmac("sha256", secret).update(`${address} ${target} ${which}`).digest();
  return mac.subarray(0, NONCE_LENGTH);
}

const isAnswer = (operation: number, length: number) => (answer: Buffer) =>
  answer.length >= length && answer[0] === VERSION && answer[1] === (ANSWER | operation);
