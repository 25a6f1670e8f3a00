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
  const wait = () => setTimeout(() => endSession(session), limits.idleMs);
  let idle = wait();
  session.on("stream", (stream, headers, _flags, rawHeaders) => {
    open += 1;
    clearTimeout(idle);
    stream.once("close", () => {
      open -= 1;
      if (open === 0 && !session.destroyed) idle = wait();
    });
    // A stream that its client reset.
    stream.on("error", () => stream.destroy());
    serve(
      () => readHead(headers, rawHeaders as unknown as string[], peer, limits.headerFields),
      stream,
      options,
    ).then(
      (answer) => send(stream, headers[":method"], answer, limits.answerMs),
      (cause) => {
        log.error("an answer could not be sent", {}, cause);
        stream.destroy();
      },
    );
  });
  session.on("error", () => socket.destroy());
  session.on("close", () => {
    clearTimeout(idle);
    socket.destroy();
  });
  return session;
}

/** Says that no more is taken (RFC 9113 §6.8) and closes when what is under way is done. */
export function endSession(session: ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) session.close();
}

function readHead(
  headers: IncomingHttpHeaders,
  raw: readonly string[],
  peer: Peer,
  maxFields: number,
): RequestHead {
  if (raw.length / 2 > maxFields) throw new HttpProblem(431, "there are too many header fields");
  const method = headers[":method"] ?? "";
  return {
    // CONNECT has no path (RFC 9113 §8.5), and is not served.
    ...parseTarget(headers[":path"] ?? "/", headers[":authority"] ?? headers.host ?? ""),
    ...peer,
    method: method === "HEAD" ? "GET" : method,
    headers: headersOf(raw),
  };
}

function send(stream: ServerHttp2Stream, method: string | undefined, answer: Answer, limitMs: number): void {
  if (stream.destroyed || stream.closed) return;
  const { status, headers = {}, body = "" } = answer;
  const limit = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), limitMs);
  stream.once("close", () => clearTimeout(limit));
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
