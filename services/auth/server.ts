/**
 * The account service on the wire: HTTP/1.1 on loopback, asked by Dovecot's auth workers (passdb and userdb
 * in Lua). Whoever holds the shared secret may ask.
 *
 *   POST /verify  user, password   200 right (account made if new) · 403 wrong or refused · 503 try later
 *   POST /exists  user             200 there is such an account · 404 there is none
 *
 * Bodies are forms, answers JSON: {"result": "ok" | "mismatch" | "refused" | …, "reason"?, "text"?}.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Log } from "../lib/log.ts";
import type { Accounts, Verdict } from "./accounts.ts";
import { FieldEncodingError, FormError, parseForm } from "./form.ts";
import { refusalTexts } from "./rules.ts";

/** An address of 320 and a password of 512 characters, each byte escaped as %XX, fit in twice over. */
const maxBodyBytes = 8_192;
/** Dovecot sends a dozen short headers. */
const maxHeaderBytes = 8_192;
/** On loopback a request arrives at once; a peer that dawdles is broken. */
const requestLimitMs = 5_000;
/** Longer than the 60 s after which Dovecot's client lets go, so that it never writes into a closing one. */
const keepAliveMs = 75_000;

type Reply = Readonly<{ status: number; body: Readonly<Record<string, string | boolean>> }>;

/** Makes the HTTP server; the caller lets it listen. `secret`: what a Bearer token must be (RFC 6750 §2.1). */
export function createAuthServer(parts: Readonly<{ accounts: Accounts; secret: string; log: Log }>): Server {
  const { log } = parts;
  const server = createServer(
    { maxHeaderSize: maxHeaderBytes, requestTimeout: requestLimitMs, keepAliveTimeout: keepAliveMs },
    (request, response) => {
      answer(request, parts)
        .catch((cause): Reply => {
          if (cause instanceof BadRequestError)
            return { status: cause.status, body: { result: "bad-request", text: cause.message } };
          log.error("a request failed", { path: request.url }, cause);
          return { status: 503, body: { result: "failed" } };
        })
        .then((reply) => send(request, response, reply));
    },
  );
  server.on("clientError", (_error, socket) => socket.destroy());
  return server;
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
  { accounts, secret, log }: Readonly<{ accounts: Accounts; secret: string; log: Log }>,
): Promise<Reply> {
  if (!isBearer(request.headers.authorization ?? "", secret)) {
    log.warn("a request without the right secret was refused");
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
  const verdict = await accounts.verify(user, requireField(fields, "password"));
  const reply = replyOf(verdict);
  // No address in the log: who logs in when is nobody's business, and Dovecot's own log has it if asked to.
  if (verdict.kind !== "ok") log.info("login refused", { result: verdict.kind, reason: reply.body.reason });
  return reply;
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
    case "busy":
      return { status: 503, body: { result: "busy", text: "Too many logins at once, try again" } };
  }
}

function isBearer(header: string, secret: string): boolean {
  // Hashes are of equal length, as timingSafeEqual demands, whatever was sent.
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header), digest(`Bearer ${secret}`));
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

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // The stream must outlive a refusal, or its socket would go before the answer is sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes)
      throw new BadRequestError(413, `the body is larger than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("latin1");
}

function send(request: IncomingMessage, response: ServerResponse, reply: Reply): void {
  const body = JSON.stringify(reply.body);
  response.writeHead(reply.status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    // What was left unread of a body would be taken for the next request.
    ...(request.complete ? {} : { Connection: "close" }),
  });
  response.end(body);
}
