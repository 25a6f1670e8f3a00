/**
 * Tells Postfix which addresses have an account, so that port 25 refuses unknown recipients before it takes
 * the message (RFC 5321 §3.3) instead of sending a bounce to a possibly forged sender. Postfix's socketmap
 * protocol, socketmap_table(5): netstrings, "<map> <key>" in, "OK …", "NOTFOUND " or "TEMP …" out. By the map "routes" it
 * tells the ways to other domains as well (routes.ts), and by "logins", before each message of a session that logged in,
 * whether that login would still be let in.
 */
import { createServer, type Server } from "node:net";
import { describeError, type Log } from "../lib/log.ts";
import { createTally, type Tally } from "../lib/tally.ts";

/** socketmap_table(5) limits answers to 100000 characters; a question is a map's name and an address. */
const maxRequestBytes = 1_000;
/** The digits of `maxRequestBytes`. */
const maxLengthDigits = 4;

/** The peer does not speak the protocol: the connection is closed. */
class NetstringError extends Error {
  override name = "NetstringError";
}

/**
 * Port 25 and the port for mail by HTTPS ask for recipients, those for accounts for logins, trivial-rewrite(8) for ways: each has at most 100 processes
 * (default_process_limit), each with one connection.
 */
const maxConnections = 512;
/** Postfix lets go of a connection that it did not use for 10 s, and of any after 100 s (dict_sockmap.c). */
const idleLimitMs = 60_000;

/** An action of access(5): Postfix says it and hangs up. Whoever logs in again learns more. */
const loginEnded = "OK 421 4.7.0 Log in again";

type Tables = Readonly<{
  exists: (address: string) => boolean;
  /** The way for an address, if it has one of its own (routes.ts). */
  route: (address: string) => string | undefined;
}>;

/** Makes the server; the caller lets it listen. The limits are others only in tests. */
export function createRecipientServer(
  parts: Tables &
    Readonly<{
      log: Log;
      limits?: Readonly<{ maxConnections: number; idleLimitMs: number }>;
    }>,
): Server {
  const { log, limits = { maxConnections, idleLimitMs } } = parts;
  const cutOff = createTally((reason, count) =>
    log.warn("peers of the recipient socket were cut off", { reason, count }),
  );
  const failures = createTally((cause, count) =>
    log.error("recipients could not be looked up", { cause, count }),
  );
  const server = createServer((socket) => {
    // A peer that goes away is of no interest: it asks again on a new connection.
    socket.on("error", () => socket.destroy());
    // Silent, or not reading its answers.
    socket.setTimeout(limits.idleLimitMs, () => socket.destroy());
    let waiting: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      try {
        const { replies, rest } = answerAll(Buffer.concat([waiting, chunk]), parts, failures);
        waiting = rest;
        if (replies === "" || socket.write(replies)) return;
        // It does not read: no more of its questions are taken until it did.
        socket.pause();
        socket.once("drain", () => socket.resume());
      } catch (cause) {
        if (!(cause instanceof NetstringError)) throw cause;
        cutOff.note(cause.message);
        socket.destroy();
      }
    });
  });
  server.maxConnections = limits.maxConnections;
  server.on("drop", () => cutOff.note("too many connections"));
  server.on("close", () => {
    cutOff.flush();
    failures.flush();
  });
  return server;
}

/** Answers every complete question in `bytes`; `rest` is the beginning of the next one. */
function answerAll(bytes: Buffer, tables: Tables, failures: Tally): { replies: string; rest: Buffer } {
  let rest = bytes;
  let replies = "";
  for (let found = readNetstring(rest); found !== undefined; found = readNetstring(rest)) {
    rest = rest.subarray(found.end);
    const reply = answer(found.content.toString("utf8"), tables, failures);
    replies += `${Buffer.byteLength(reply)}:${reply},`;
  }
  return { replies, rest };
}

function answer(request: string, { exists, route }: Tables, failures: Tally): string {
  const blank = request.indexOf(" ");
  const key = request.slice(blank + 1);
  try {
    if (request.slice(0, blank) === "routes") {
      const way = route(key);
      return way === undefined ? "NOTFOUND " : `OK ${way}`;
    }
    if (request.slice(0, blank) === "logins") return exists(key) ? "NOTFOUND " : loginEnded;
    // Postfix also asks for the parts "name" and "@domain" alone: no account is called so.
    if (!/^[^@]+@[^@]+$/.test(key)) return "NOTFOUND ";
    return exists(key) ? "OK account" : "NOTFOUND ";
  } catch (cause) {
    failures.note(describeError(cause));
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
