/**
 * The account service on the wire: HTTP/1.1 on loopback, asked by Dovecot's auth workers (passdb and userdb
 * in Lua). Whoever holds the shared secret may ask.
 *
 *   POST /verify  user, password, ip   200 right (account made if new) · 403 wrong or refused · 503 try later
 *   POST /exists  user                 200 there is such an account · 404 there is none
 *
 * Bodies are forms, answers JSON: {"result": "ok" | "mismatch" | "refused" | …, "reason"?, "text"?}.
 */
import { hash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { describeError, type Log } from "../lib/log.ts";
import type { Accounts, Verdict } from "./accounts.ts";
import { FieldEncodingError, FormError, parseForm } from "./form.ts";
import { refusalTexts } from "./rules.ts";
import { createTally } from "./tally.ts";

/** An address of 320 and a password of 512 characters, each byte escaped as %XX, fit in twice over. */
const maxBodyBytes = 8_192;
/** Dovecot sends a dozen short headers. */
const maxHeaderBytes = 8_192;
/** On loopback a request arrives at once; a peer that dawdles is broken. */
const requestLimitMs = 5_000;
/** How often that limit is looked at; Node's own is 30 s (connectionsCheckingInterval). */
const checkMs = 1_000;
/** Dovecot's auth workers are 30 at most, with one connection each. Whoever lacks the secret is let go at once. */
const maxConnections = 256;
/** Longer than the 60 s after which Dovecot's client lets go, so that it never writes into a closing one. */
const keepAliveMs = 75_000;

type Reply = Readonly<{ status: number; body: Readonly<Record<string, string | boolean>> }>;

/** Makes the HTTP server; the caller lets it listen. `secret`: what a Bearer token must be (RFC 6750 §2.1). */
export function createAuthServer(parts: Readonly<{ accounts: Accounts; secret: string; log: Log }>): Server {
  const { log } = parts;
  // Hashes are of equal length, as timingSafeEqual demands, whatever is sent.
  const expected = digest(`Bearer ${parts.secret}`);
  const isAllowed = (authorization: string): boolean => timingSafeEqual(digest(authorization), expected);
  const tallies = createTallies(log);
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      requestTimeout: requestLimitMs,
      headersTimeout: requestLimitMs,
      connectionsCheckingInterval: checkMs,
      keepAliveTimeout: keepAliveMs,
    },
    (request, response) => {
      // Nobody reads it, and it is made anew for every answer.
      response.sendDate = false;
      answer(request, { accounts: parts.accounts, isAllowed, tallies, log })
        .catch((cause): Reply => {
          if (cause instanceof BadRequestError)
            return { status: cause.status, body: { result: "bad-request", text: cause.message } };
          tallies.failed.note(describeError(cause));
          return { status: 503, body: { result: "failed" } };
        })
        .then((reply) => {
          // What was left unread of a body would be taken for the next request; strangers hold no place; and a
          // server that stops waits for every connection.
          if (!request.complete || reply.status === 401 || !server.listening)
            response.setHeader("Connection", "close");
          send(response, reply);
        });
    },
  );
  server.maxConnections = maxConnections;
  server.on("drop", () => tallies.strangers.note("too many connections"));
  server.on("clientError", (_error, socket) => socket.destroy());
  server.on("close", () => {
    for (const tally of Object.values(tallies)) tally.flush();
  });
  return server;
}

/** What floods are made of, counted. No address in the log: who logs in when is nobody's business. */
function createTallies(log: Log) {
  return {
    strangers: createTally((reason, count) =>
      log.warn("requests to the account service were refused", { reason, count }),
    ),
    turnedAway: createTally((result, count) =>
      log.warn("logins turned away: too many wrong passwords (throttled) or too many at once (busy)", {
        result,
        count,
      }),
    ),
    refused: createTally((reason, count) => log.info("logins refused", { reason, count })),
    failed: createTally((cause, count) => log.error("requests failed", { cause, count })),
  };
}

/** The request itself is wrong: a mistake in the configuration, or somebody is probing. */
class BadRequestError extends Error {
  override name = "BadRequestError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function answer(
  request: IncomingMessage,
  {
    accounts,
    isAllowed,
    tallies,
    log,
  }: Readonly<{
    accounts: Accounts;
    isAllowed: (authorization: string) => boolean;
    tallies: ReturnType<typeof createTallies>;
    log: Log;
  }>,
): Promise<Reply> {
  if (!isAllowed(request.headers.authorization ?? "")) {
    tallies.strangers.note("without the secret");
    throw new BadRequestError(401, "the shared secret is missing or wrong");
  }
  if (request.method !== "POST") throw new BadRequestError(405, "only POST is answered");
  if (request.url !== "/verify" && request.url !== "/exists") throw new BadRequestError(404, "no such path");
  log.debug("asked", { path: request.url });
  const fields = readFields(await readBody(request));
  if (fields === undefined) {
    return request.url === "/exists" ? unknownReply : replyOf({ kind: "refused", refusal: "not-utf8" });
  }
  const user = requireField(fields, "user");
  if (request.url === "/exists") {
    return accounts.exists(user) ? { status: 200, body: { result: "ok" } } : unknownReply;
  }
  const password = requireField(fields, "password");
  const verdict = await accounts.verify({ user, password, address: fields.get("ip") ?? "" });
  if (verdict.kind === "throttled" || verdict.kind === "busy") tallies.turnedAway.note(verdict.kind);
  else if (verdict.kind === "refused") tallies.refused.note(verdict.refusal);
  else if (verdict.kind !== "ok") tallies.refused.note(verdict.kind);
  return replyOf(verdict);
}

const unknownReply: Reply = { status: 404, body: { result: "unknown" } };

function replyOf(verdict: Verdict): Reply {
  switch (verdict.kind) {
    case "ok":
      return { status: 200, body: { result: "ok", created: verdict.created } };
    case "mismatch":
      return { status: 403, body: { result: "mismatch", text: "The password is wrong" } };
    case "refused":
      return {
        status: 403,
        body: { result: "refused", reason: verdict.refusal, text: refusalTexts[verdict.refusal] },
      };
    case "throttled":
      return {
        status: 503,
        body: { result: "throttled", text: "Too many wrong passwords, try again later" },
      };
    case "busy":
      return { status: 503, body: { result: "busy", text: "Too many logins at once, try again" } };
  }
}

function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}

function readFields(body: string): Map<string, string> | undefined {
  try {
    return parseForm(body);
  } catch (cause) {
    // No account has such a name or password (RFC 4616 §2 wants UTF-8): an answer, not a failure.
    if (cause instanceof FieldEncodingError) return undefined;
    if (cause instanceof FormError) throw new BadRequestError(400, cause.message);
    throw cause;
  }
}

function requireField(fields: Map<string, string>, name: string): string {
  const value = fields.get(name);
  if (value === undefined) throw new BadRequestError(400, `the field ${name} is missing`);
  return value;
}

/** By events, which cost a fifth of what asynchronous iteration does. */
function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBodyBytes) {
        chunks.push(chunk);
        return;
      }
      // The rest stays unread; the answer closes the connection.
      request.pause();
      reject(new BadRequestError(413, `the body is larger than ${maxBodyBytes} bytes`));
    });
    request.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    request.on("error", reject);
  });
}

function send(response: ServerResponse, reply: Reply): void {
  const body = JSON.stringify(reply.body);
  response.writeHead(reply.status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}
