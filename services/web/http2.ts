/**
 * HTTP/2 (RFC 9113) by node:http2, on TLS connections that chose it. Floods of resets, settings, pings and
 * continuations end the session by the limits given to it; idle sessions and answers that nobody reads end by the
 * clock. Called by front.ts.
 */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import { type Answer, HttpProblem, type RequestHead } from "./exchange.ts";
import { hasBody, type Peer } from "./http1.ts";
import type { WebLimits } from "./limits.ts";
import { parseTarget } from "./request-target.ts";
import { headersOf, type ServeOptions, serve } from "./serve.ts";

/** Serves the connection until it ends; the session is for closing it. */
export function serveHttp2(socket: TLSSocket, peer: Peer, options: ServeOptions): ServerHttp2Session {
  const { limits, log } = options;
  const session = performServerHandshake(socket, {
    maxSessionMemory: limits.sessionMegabytes,
    maxSettings: limits.settingsEntries,
    maxHeaderListPairs: limits.headerFields,
    maxSessionInvalidFrames: limits.invalidFrames,
    maxSessionRejectedStreams: limits.rejectedStreams,
    streamResetBurst: limits.resetBurst,
    streamResetRate: limits.resetsPerSecond,
    settings: {
      maxConcurrentStreams: limits.streams,
      maxHeaderListSize: limits.headerBytes,
      enablePush: false,
    },
  });
  let open = 0;
  // Neither PING nor SETTINGS count as work: only a request does.
  const wait = () => setTimeout(() => endSession(session, socket, limits.goodbyeMs), limits.idleMs);
  let idle = wait();
  session.on("stream", (stream, headers, _flags, rawHeaders) => {
    open += 1;
    const underWay = peer.begin();
    stream.once("close", underWay.end);
    clearTimeout(idle);
    stream.once("close", () => {
      open -= 1;
      if (open === 0 && !session.destroyed) idle = wait();
    });
    // A stream that its client reset.
    stream.on("error", () => stream.destroy());
    serve(() => readHead(headers, rawHeaders as unknown as string[], peer, limits), stream, options).then(
      (answer) => {
        if (stream.destroyed || stream.closed) return;
        underWay.answered();
        // Whoever does not read one answer does not read the others either.
        const limit = setTimeout(() => socket.destroy(), limits.answerMs);
        stream.once("close", () => clearTimeout(limit));
        send(stream, headers[":method"], answer);
      },
      (cause) => {
        log.error("an answer could not be sent", {}, cause);
        stream.destroy();
      },
    );
  });
  // Node has said why (RFC 9113 §6.8); who does not read it in time is cut off.
  session.on("error", () => cutOff(socket, limits.goodbyeMs));
  session.on("close", () => {
    clearTimeout(idle);
    socket.destroy();
  });
  return session;
}

/** Says that no more is taken (RFC 9113 §6.8); who does not read it in time is cut off. */
function endSession(session: ServerHttp2Session, socket: TLSSocket, limitMs: number): void {
  cutOff(socket, limitMs);
  finishSession(session);
}

/** A session that ends waits for its last words to be read, also when it is destroyed; its socket does not. */
function cutOff(socket: TLSSocket, limitMs: number): void {
  const limit = setTimeout(() => socket.destroy(), limitMs);
  socket.once("close", () => clearTimeout(limit));
}

/** Takes no more (RFC 9113 §6.8) and closes when what is under way is done. */
export function finishSession(session: ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) session.close();
}

function readHead(
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  { client, isSecure }: Peer,
  limits: WebLimits,
): RequestHead {
  if (raw.length / 2 > limits.headerFields || unpackedSize(raw) > limits.headerBytes)
    throw new HttpProblem(431, "there are too many header fields");
  const method = headers[":method"] ?? "";
  return {
    // CONNECT has no path (RFC 9113 §8.5), and is not served.
    ...parseTarget(headers[":path"] ?? "/", headers[":authority"] ?? headers.host ?? ""),
    ...{ client, isSecure },
    method: method === "HEAD" ? "GET" : method,
    headers: headersOf(raw),
  };
}

/** RFC 9113 §6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE, which Node announces but does not enforce. */
function unpackedSize(raw: readonly string[]): number {
  return raw.reduce((sum, text) => sum + text.length + 16, 0);
}

function send(stream: ServerHttp2Stream, method: string | undefined, answer: Answer): void {
  const { status, headers = {}, body = "" } = answer;
  const isEmpty = method === "HEAD" || !hasBody(status);
  stream.respond(
    {
      ":status": status,
      ...headers,
      ...(hasBody(status) ? { "content-length": String(Buffer.byteLength(body)) } : {}),
    },
    { endStream: isEmpty },
  );
  if (!isEmpty) stream.end(body);
  if (stream.endAfterHeaders || stream.readableEnded) {
    // A stream closes only when what it brought, be it nothing, was read.
    stream.resume();
    return;
  }
  // RFC 9113 §8.1: the rest of a body is not needed for the answer.
  if (isEmpty) stream.close(constants.NGHTTP2_NO_ERROR);
  else stream.once("finish", () => stream.close(constants.NGHTTP2_NO_ERROR));
}
