/**
 * The web server that Prometheus asks: GET /metrics and nothing else. Loopback and the private network come here
 * alike, so whoever asks counts as a stranger. Called by service.ts.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Log } from "../lib/log.ts";
import { contentTypes, type Format } from "./scrape.ts";

/** A Prometheus keeps one connection; a home has one or two of them. More are closed at once. */
const MAX_CONNECTIONS = 16;
/** A request is one line and a few headers, and comes at once. */
const REQUEST_MS = 5_000;
const MAX_HEADER_BYTES = 8_192;
/** Longer than Prometheus' usual interval of a minute, so that the next scrape finds its connection. */
const KEEP_ALIVE_MS = 75_000;

export type MetricsServerOptions = Readonly<{
  scrape: (format: Format) => Promise<string>;
  /** SHA-256 of the token that has to be shown, in hex; empty: none has. */
  tokenSha256: string;
  /** Called with every request. */
  onRequest(): void;
  log: Log;
}>;

/** The caller lets it listen, on as many sockets as it likes one server each. */
export function createMetricsServer(options: MetricsServerOptions): Server {
  const { log } = options;
  /** Two who ask at once get the same answer. */
  const underWay = new Map<Format, Promise<string>>();
  const scrape = (format: Format): Promise<string> => {
    const running = underWay.get(format) ?? options.scrape(format).finally(() => underWay.delete(format));
    underWay.set(format, running);
    return running;
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    options.onRequest();
    if (request.url?.split("?", 1)[0] !== "/metrics") return refuse(response, 404, "see /metrics");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("Allow", "GET, HEAD");
      return refuse(response, 405, "only GET");
    }
    if (!showsToken(request.headers.authorization, options.tokenSha256)) {
      response.setHeader("WWW-Authenticate", "Bearer");
      return refuse(response, 401, "this needs the token");
    }
    const format = wantedFormat(request.headers.accept);
    const text = await scrape(format);
    response.setHeader("Content-Type", contentTypes[format]);
    response.setHeader("Cache-Control", "no-store");
    response.end(text);
  };

  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => {
      // No request of ours has a body: what comes is not read, and ends the connection.
      if (
        request.headers["content-length"] !== undefined ||
        request.headers["transfer-encoding"] !== undefined
      )
        response.setHeader("Connection", "close");
      answer(request, response).catch((cause) => {
        log.error("a scrape failed", {}, cause);
        refuse(response, 500, "it failed; the log says why");
      });
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("clientError", (_error, socket) => socket.destroy());
  return server;
}

function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  response.statusCode = status;
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`${text}\n`);
}

/** RFC 6750 §2.1. Hashes are compared, so neither the place of a difference nor the length shows in the time. */
function showsToken(authorization: string | undefined, tokenSha256: string): boolean {
  if (tokenSha256 === "") return true;
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
  const shown = createHash("sha256").update(token).digest();
  return timingSafeEqual(shown, Buffer.from(tokenSha256, "hex"));
}

/**
 * OpenMetrics for whoever names it with at least as much weight as plain text (RFC 9110 §12.5.1), as Prometheus does;
 * plain text for all others.
 */
function wantedFormat(accept = ""): Format {
  const weights = { "application/openmetrics-text": 0, "text/plain": 0 };
  for (const part of accept.split(",")) {
    const [type = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const weight = Number(
      /^q=([\d.]+)$/.exec(parameters.find((one) => one.startsWith("q=")) ?? "q=1")?.[1] ?? 0,
    );
    if (type in weights) {
      const known = type as keyof typeof weights;
      weights[known] = Math.max(weights[known], weight);
    }
  }
  const { "application/openmetrics-text": open, "text/plain": plain } = weights;
  return open > 0 && open >= plain ? "openmetrics" : "prometheus";
}
