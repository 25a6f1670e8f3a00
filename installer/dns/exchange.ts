/**
 * One question to one name server or resolver: by UDP, and by TCP when the answer was cut or no datagram comes through
 * (RFC 7766 §5). What is no answer to the question is passed over, for anybody may send a datagram; the socket takes
 * those of the asked address alone. Called by resolver.ts, views.ts, zone-servers.ts, dnssec.ts and check.ts. I/O: one socket for each question, so that neither port nor
 * number can be guessed (RFC 5452).
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { DnsFormatError } from "../../appliance/dns/wire.ts";
import {
  type DnsAnswer,
  type DnsQuestion,
  outcomes,
  type QuestionOptions,
  questionBytes,
  readAnswer,
} from "./message.ts";

/** An IP address without brackets, and a port. */
export type ServerPlace = Readonly<{ address: string; port: number }>;

/** No answer that counts: nothing came in time, or nothing that is an answer, or the network leads nowhere. */
export class NoAnswerError extends Error {
  override name = "NoAnswerError";
}

/** What `read` makes of an answer. Throws NoAnswerError where a record in it is malformed: whoever sent it said nothing. */
export function readable<Content>(server: string, read: () => Content): Content {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error;
    throw new NoAnswerError(`${server} answers with ${error.message}`, { cause: error });
  }
}

/** When the datagram is sent again, and when it is given up. A line of 600 ms (satellite) still answers the first. */
const DATAGRAM_AGAIN_MS = 700;
const DATAGRAM_LIMIT_MS = 1600;
/** From the connection to the whole answer: two ways there and back. */
const CONNECTION_LIMIT_MS = 2000;
/** RFC 1035 §4.2.2: two octets of length. */
const LENGTH_BYTES = 2;

/** Throws NoAnswerError, and the signal's reason. */
export async function askServer(
  place: ServerPlace,
  question: DnsQuestion,
  options: QuestionOptions = {},
  signal?: AbortSignal,
): Promise<DnsAnswer> {
  const first = await askOnce(place, question, options, true, signal);
  // RFC 6891 §7: a server that does not know EDNS says that it does not understand.
  if (first.outcome !== outcomes.formatError) return first;
  return askOnce(place, question, options, false, signal);
}

async function askOnce(
  place: ServerPlace,
  question: DnsQuestion,
  options: QuestionOptions,
  edns: boolean,
  signal: AbortSignal | undefined,
): Promise<DnsAnswer> {
  signal?.throwIfAborted();
  const id = randomInt(0x1_0000);
  const bytes = questionBytes(id, question, options, edns);
  const read = (received: Buffer) => readAnswer(received, id, question);
  const byDatagram = await exchangeDatagram(place, bytes, read, signal).catch((error: unknown) => error);
  if (byDatagram instanceof Error) {
    signal?.throwIfAborted();
    // Where nobody listens at all, TCP would only say so again.
    if (!(byDatagram instanceof NoAnswerError) || isUnreachable(byDatagram.cause)) throw byDatagram;
    return exchangeByConnection(place, bytes, read, signal);
  }
  const answer = byDatagram as DnsAnswer;
  return answer.truncated ? exchangeByConnection(place, bytes, read, signal) : answer;
}

function isUnreachable(cause: unknown): boolean {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  return ["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EACCES", "EINVAL"].includes(code);
}

type Read = (bytes: Buffer) => DnsAnswer;

const shown = ({ address, port }: ServerPlace) => (port === 53 ? address : `${address} port ${port}`);

function exchangeDatagram(
  place: ServerPlace,
  bytes: Buffer,
  read: Read,
  signal: AbortSignal | undefined,
): Promise<DnsAnswer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(place.address) ? "udp6" : "udp4");
    let passedOver = "";
    const end = (outcome: DnsAnswer | Error) => {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      socket.removeAllListeners();
      socket.on("error", () => {}); // of a socket that nobody waits for any more
      socket.close();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const fail = (words: string, cause?: unknown) =>
      end(new NoAnswerError(`${shown(place)} ${words}`, { cause }));
    const stop = () => end(signal?.reason instanceof Error ? signal.reason : new NoAnswerError("stopped"));
    const send = () => socket.send(bytes);
    let isConnected = false;
    const timers = [
      setTimeout(() => isConnected && send(), DATAGRAM_AGAIN_MS),
      setTimeout(() => fail(`does not answer${passedOver}`), DATAGRAM_LIMIT_MS),
    ];
    signal?.addEventListener("abort", stop);
    socket.on("error", (error) => fail(`cannot be reached: ${error.message}`, error));
    socket.on("message", (received) => {
      try {
        end(read(received));
      } catch (error) {
        if (!(error instanceof DnsFormatError)) throw error;
        passedOver = `: what came is ${error.message}`;
      }
    });
    // From here on the system drops datagrams of any other address or port.
    const connected = (error?: Error) => {
      isConnected = !(error instanceof Error);
      if (isConnected) send();
      else fail(`cannot be reached: ${error?.message}`, error);
    };
    // Called with the error where there is no way to the address, as without IPv6; then there is no event.
    socket.connect(place.port, place.address, connected);
  });
}

function exchangeByConnection(
  place: ServerPlace,
  bytes: Buffer,
  read: Read,
  signal: AbortSignal | undefined,
): Promise<DnsAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: place.address, port: place.port });
    let received = Buffer.alloc(0);
    const end = (outcome: DnsAnswer | Error) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      socket.destroy();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const fail = (words: string, cause?: unknown) =>
      end(new NoAnswerError(`${shown(place)} ${words} by TCP`, { cause }));
    const stop = () => end(signal?.reason instanceof Error ? signal.reason : new NoAnswerError("stopped"));
    const timer = setTimeout(() => fail("does not answer"), CONNECTION_LIMIT_MS);
    signal?.addEventListener("abort", stop);
    socket.on("error", (error) => fail(`cannot be reached: ${error.message}`, error));
    socket.once("close", () => fail("ends the connection without an answer"));
    socket.on("data", (chunk: Buffer) => {
      // At most one message of 64 KiB: whatever is behind it is not waited for.
      received = Buffer.concat([received, chunk]);
      if (received.length < LENGTH_BYTES) return;
      const whole = LENGTH_BYTES + received.readUInt16BE(0);
      if (received.length < whole) return;
      try {
        end(read(received.subarray(LENGTH_BYTES, whole)));
      } catch (error) {
        if (!(error instanceof DnsFormatError)) throw error;
        fail(`does not speak DNS: ${error.message}`);
      }
    });
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16BE(bytes.length);
    socket.write(Buffer.concat([length, bytes]));
  });
}
