/**
 * HTTP/1.1 as the account service speaks it on its four sockets: forms in, small JSON objects out, everything
 * bounded. What is asked and answered stands in server.ts (Dovecot), sign-up-server.ts (services/web),
 * control-server.ts (homing-ctl) and reaper-server.ts (services/reaper).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describeError, type Log } from "../lib/log.ts";
import { createTally } from "../lib/tally.ts";
import { FormError, parseForm } from "./form.ts";

/** An address of 320 and a password of 512 characters, each byte escaped as %XX, fit in twice over. */
const maxBodyBytes = 8_192;
/** Those who ask send a dozen short headers. */
const maxHeaderBytes = 8_192;
/** On a local socket a request arrives at once; a peer that dawdles is broken. */
const requestLimitMs = 5_000;
/** How often that limit is looked at; Node's own is 30 s (connectionsCheckingInterval). */
const checkMs = 1_000;
/**
 * Dovecot's auth workers are 30 at most, with one connection each; services/web opens 64. Whoever lacks the secret is
 * let go at once.
 */
const maxConnections = 256;
/** Longer than the 60 s after which those who ask let go, so that they never write into a closing connection. */
const keepAliveMs = 75_000;

/** `lines`: as many as there are, sent as fast as they are read. */
export type Reply =
  | Readonly<{ status: number; body: unknown }>
  | Readonly<{ status: number; lines: Iterable<string> }>;

/** The request itself is wrong: a mistake in the configuration, or somebody is probing. */
export class BadRequestError extends Error {
  override name = "BadRequestError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Makes the server; the caller lets it listen. What `answer` throws is logged and answered 503, a BadRequestError with
 * its own status.
 */
export function createJsonServer(
  parts: Readonly<{ log: Log; answer(request: IncomingMessage): Promise<Reply>; onDrop?: () => void }>,
): Server {
  const failed = createTally((cause, count) => parts.log.error("requests failed", { cause, count }));
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
      parts
        .answer(request)
        .catch((cause): Reply => {
          if (cause instanceof BadRequestError)
            return { status: cause.status, body: { result: "bad-request", text: cause.message } };
          failed.note(describeError(cause));
          return { status: 503, body: { result: "failed" } };
        })
        .then((reply) => {
          // What was left unread of a body would be taken for the next request; strangers hold no place; and a
          // server that stops waits for every connection.
          if (!request.complete || reply.status === 401 || !server.listening)
            response.setHeader("Connection", "close");
          if ("lines" in reply) return stream(response, reply);
          send(response, reply);
          return undefined;
        })
        // Whoever reads sees that the end is missing (RFC 9112 §8).
        .catch((cause) => {
          failed.note(describeError(cause));
          response.destroy();
        });
    },
  );
  server.maxConnections = maxConnections;
  server.on("drop", () => parts.onDrop?.());
  server.on("clientError", (_error, socket) => socket.destroy());
  server.on("close", () => failed.flush());
  return server;
}

/** The fields of a form in the body. @throws BadRequestError; FieldEncodingError when one is not UTF-8. */
export async function readForm(request: IncomingMessage): Promise<Map<string, string>> {
  const body = await readBody(request);
  try {
    return parseForm(body);
  } catch (cause) {
    if (cause instanceof FormError) throw new BadRequestError(400, cause.message);
    throw cause;
  }
}

/** @throws BadRequestError */
export function requireField(fields: Map<string, string>, name: string): string {
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

/** @throws whatever the lines throw; Error when the reader went away. */
function stream(
  response: ServerResponse,
  { status, lines }: Readonly<{ status: number; lines: Iterable<string> }>,
): Promise<void> {
  response.writeHead(status, { "Content-Type": "application/x-ndjson" });
  // One piece ahead: the reader sets the pace.
  return pipeline(Readable.from(lines, { highWaterMark: 1 }), response);
}

function send(response: ServerResponse, reply: Readonly<{ status: number; body: unknown }>): void {
  const body = JSON.stringify(reply.body);
  response.writeHead(reply.status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}
