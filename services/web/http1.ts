/**
 * HTTP/1.1 (RFC 9112) by node:http: port 80 itself, and every TLS connection that did not choose HTTP/2. One server
 * for both, since Node watches over slow headers only in a server that listens. Called by front.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Answer, HttpProblem, type RequestHead } from "./exchange.ts";
import type { UnderWay } from "./places.ts";
import { parseTarget } from "./request-target.ts";
import { headersOf, type ServeOptions, serve } from "./serve.ts";

/** Who is at the other end, by the socket that requests come from. */
export type Peer = Readonly<{
  client: string;
  isSecure: boolean;
  /** A request of theirs begins (places.ts). */
  begin(): UnderWay;
}>;

/** Makes the server; the caller lets it listen, and gives it TLS connections by emitting "connection". */
export function createHttp1Server(options: ServeOptions, peerOf: (request: IncomingMessage) => Peer): Server {
  const { limits, log } = options;
  const answer = (request: IncomingMessage, response: ServerResponse, expects: boolean): void => {
    const peer = peerOf(request);
    const underWay = peer.begin();
    response.once("close", underWay.end);
    serve(
      () => readHead(request, peer, limits.headerFields),
      request,
      options,
      expects ? () => response.writeContinue() : undefined,
    ).then(
      (reply) => {
        if (response.closed) return;
        underWay.answered();
        send(request, response, reply, server.listening, limits.answerMs);
      },
      (cause) => {
        log.error("an answer could not be sent", {}, cause);
        request.socket.destroy();
      },
    );
  };
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headerMs,
      // Bodies have a watch of their own (body.ts).
      requestTimeout: 0,
      connectionsCheckingInterval: limits.checkMs,
      keepAliveTimeout: limits.idleMs,
      // RFC 9112 §3.2: a request without Host is answered 400.
      requireHostHeader: true,
    },
    (request, response) => answer(request, response, false),
  );
  server.on("checkContinue", (request, response) => answer(request, response, true));
  // Node drops surplus fields in silence; readHead refuses the request instead.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = limits.requestsOfConnection;
  // Nor may silence end a connection whose answer takes minutes, as a message's may that came for delivery.
  server.timeout = 0;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const [status, reason] = wireErrors[error.code ?? ""] ?? [400, "Bad Request"];
    socket.end(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
      socket.destroy(),
    );
  });
  return server;
}

/** What Node found wrong before there was a request. */
const wireErrors: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout"],
};

function readHead(request: IncomingMessage, { client, isSecure }: Peer, maxFields: number): RequestHead {
  // RFC 9112 §3.2; Node takes the first and says nothing.
  if ((request.headersDistinct.host?.length ?? 0) > 1) throw new HttpProblem(400, "there are two hosts");
  // RFC 6585 §5.
  if (request.rawHeaders.length / 2 > maxFields)
    throw new HttpProblem(431, "there are too many header fields");
  const method = request.method ?? "";
  return {
    ...parseTarget(request.url ?? "", request.headers.host ?? ""),
    ...{ client, isSecure },
    method: method === "HEAD" ? "GET" : method,
    headers: headersOf(request.rawHeaders),
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  goesOn: boolean,
  limitMs: number,
): void {
  const { status, headers = {}, body = "" } = answer;
  // What is left of a body would be taken for the next request; and a server that stops waits for every connection.
  const isLast = !request.complete || !goesOn;
  const limit = setTimeout(() => request.socket.destroy(), limitMs);
  response.once("close", () => clearTimeout(limit));
  response.writeHead(status, {
    ...headers,
    ...(hasBody(status) ? { "content-length": String(Buffer.byteLength(body)) } : {}),
    ...(isLast ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" || !hasBody(status) ? undefined : body, () => {
    if (!request.complete) request.socket.destroySoon();
  });
}

/** RFC 9110 §15.3.5 and §15.4.5. */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 304;
}
