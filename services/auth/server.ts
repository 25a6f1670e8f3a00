/**
 * The account service on the wire: HTTP/1.1 on loopback, asked by Dovecot's auth workers (passdb and userdb
 * in Lua). Whoever holds the shared secret may ask.
 *
 *   POST /verify  user, password, ip   200 right (account made if new) · 403 wrong or refused · 423 right, but blocked
 *                                      · 503 try later
 *   POST /exists  user, service        200 there is such an account · 404 there is none. One that is blocked or leaving
 *                                      is there for the service "doveadm" alone, the operator's and the reaper's
 *
 * Bodies are forms, answers JSON: {"result": "ok" | "mismatch" | "refused" | …, "reason"?, "text"?}.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Log } from "../lib/log.ts";
import { createTally } from "../lib/tally.ts";
import type { Accounts, Verdict } from "./accounts.ts";
import { FieldEncodingError } from "./form.ts";
import { BadRequestError, createJsonServer, type Reply, readForm, requireField } from "./json-server.ts";
import { refusalTexts } from "./rules.ts";

/** Makes the HTTP server; the caller lets it listen. `secret`: what a Bearer token must be (RFC 6750 §2.1). */
export function createAuthServer(parts: Readonly<{ accounts: Accounts; secret: string; log: Log }>): Server {
  const { log } = parts;
  // Hashes are of equal length, as timingSafeEqual demands, whatever is sent.
  const expected = digest(`Bearer ${parts.secret}`);
  const isAllowed = (authorization: string): boolean => timingSafeEqual(digest(authorization), expected);
  const tallies = createTallies(log);
  const server = createJsonServer({
    log,
    answer: (request) => answer(request, { accounts: parts.accounts, isAllowed, tallies, log }),
    onDrop: () => tallies.strangers.note("too many connections"),
  });
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
  };
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
  const fields = await readFields(request);
  if (fields === undefined) {
    return request.url === "/exists" ? unknownReply : replyOf({ kind: "refused", refusal: "not-utf8" });
  }
  const user = requireField(fields, "user");
  if (request.url === "/exists") {
    // Dovecot names the program that asks; no client can call itself so.
    const there = fields.get("service") === "doveadm" ? accounts.hasMailbox(user) : accounts.exists(user);
    return there ? { status: 200, body: { result: "ok" } } : unknownReply;
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
    case "blocked":
      return { status: 423, body: { result: "blocked", text: "The operator blocked this account" } };
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

/** undefined: no account has such a name or password (RFC 4616 §2 wants UTF-8). An answer, not a failure. */
async function readFields(request: IncomingMessage): Promise<Map<string, string> | undefined> {
  try {
    return await readForm(request);
  } catch (cause) {
    if (cause instanceof FieldEncodingError) return undefined;
    throw cause;
  }
}
