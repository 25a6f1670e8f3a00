/**
 * Asks a STUN server for an answer (RFC 8489): a Binding request by UDP. Called by turn.ts.
 *
 *   0  type    2   0x0001 request, 0x0101 success
 *   2  length  2   of what follows the 20 bytes
 *   4  cookie  4   0x2112a442
 *   8  id     12   by chance
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";

const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
/** The first two waits of RFC 8489 §6.2.1, and one more, in milliseconds: a datagram may be lost. */
const REPEAT_AFTER_MS = [500, 1000] as const;
const ANSWER_LIMIT_MS = 3000;

/** Whether a STUN server answers at the address. Never rejects. */
export function answersStun(address: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = Buffer.alloc(HEADER_BYTES);
  request.writeUInt16BE(BINDING_REQUEST, 0);
  request.writeUInt32BE(MAGIC_COOKIE, 4);
  randomBytes(12).copy(request, 8);
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  const timers: NodeJS.Timeout[] = [];
  const end = (answer: boolean): void => {
    for (const timer of timers) clearTimeout(timer);
    resolve(answer);
    socket.close(() => {});
  };
  const send = (): void => socket.send(request);
  // Connected: answers of others do not come here, and a closed port is known at once.
  socket.on("connect", () => {
    send();
    for (const delay of REPEAT_AFTER_MS) timers.push(setTimeout(send, delay));
    timers.push(setTimeout(() => end(false), ANSWER_LIMIT_MS));
  });
  socket.on("message", (answer) => {
    if (
      answer.length >= HEADER_BYTES &&
      answer.readUInt16BE(0) === BINDING_SUCCESS &&
      answer.subarray(4, HEADER_BYTES).equals(request.subarray(4))
    ) {
      end(true);
    }
  });
  socket.once("error", () => end(false));
  socket.connect(port, address);
  return promise;
}
