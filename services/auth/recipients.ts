/**
 * Tells Postfix which addresses have an account, so that port 25 refuses unknown recipients before it takes
 * the message (RFC 5321 §3.3) instead of sending a bounce to a possibly forged sender. Postfix's socketmap
 * protocol, socketmap_table(5): netstrings, "<map> <key>" in, "OK …", "NOTFOUND " or "TEMP …" out.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Log } from "../lib/log.ts";

/** socketmap_table(5) limits answers to 100000 characters; a question is a map's name and an address. */
const maxRequestBytes = 1_000;
/** The digits of `maxRequestBytes`. */
const maxLengthDigits = 4;

/** The peer does not speak the protocol: the connection is closed. */
class NetstringError extends Error {
  override name = "NetstringError";
}

/** Makes the server; the caller lets it listen. */
export function createRecipientServer(
  parts: Readonly<{ exists: (address: string) => boolean; log: Log }>,
): Server {
  return createServer((socket) => {
    // A peer that goes away is of no interest: it asks again on a new connection.
    socket.on("error", () => socket.destroy());
    let waiting: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk]);
      try {
        waiting = answerAll(waiting, socket, parts);
      } catch (cause) {
        if (!(cause instanceof NetstringError)) throw cause;
        parts.log.warn("a peer of the recipient socket was cut off", { reason: cause.message });
        socket.destroy();
      }
    });
  });
}

/** Answers every complete question in `bytes`; gives back the rest. */
function answerAll(
  bytes: Buffer,
  socket: Socket,
  parts: Readonly<{ exists: (address: string) => boolean; log: Log }>,
): Buffer {
  let rest = bytes;
  for (let found = readNetstring(rest); found !== undefined; found = readNetstring(rest)) {
    rest = rest.subarray(found.end);
    const reply = answer(found.content.toString("utf8"), parts);
    socket.write(`${Buffer.byteLength(reply)}:${reply},`);
  }
  return rest;
}

function answer(
  request: string,
  { exists, log }: Readonly<{ exists: (address: string) => boolean; log: Log }>,
): string {
  const address = request.slice(request.indexOf(" ") + 1);
  // Postfix also asks for the parts "name" and "@domain" alone: no account is called so.
  if (!/^[^@]+@[^@]+$/.test(address)) return "NOTFOUND ";
  try {
    return exists(address) ? "OK account" : "NOTFOUND ";
  } catch (cause) {
    log.error("a recipient could not be looked up", {}, cause);
    return "TEMP the account store does not answer";
  }
}

/** The first netstring (length ":" content ",") and where it ends; undefined when it is not complete yet. */
function readNetstring(bytes: Buffer): { content: Buffer; end: number } | undefined {
  const colon = bytes.subarray(0, maxLengthDigits + 1).indexOf(":");
  const digits = bytes.toString("latin1", 0, colon < 0 ? Math.min(bytes.length, maxLengthDigits + 1) : colon);
  if (colon < 0 && digits.length <= maxLengthDigits && /^\d*$/.test(digits)) return undefined;
  if (colon < 1 || !/^\d+$/.test(digits)) throw new NetstringError("no netstring");
  const length = Number(digits);
  if (length > maxRequestBytes) throw new NetstringError("a question is too long");
  const end = colon + 1 + length + 1;
  if (bytes.length < end) return undefined;
  if (bytes[end - 1] !== 0x2c) throw new NetstringError("a netstring does not end with a comma");
  return { content: bytes.subarray(colon + 1, end - 1), end };
}
