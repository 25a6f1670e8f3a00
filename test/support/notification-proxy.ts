/** A notification proxy over HTTP or HTTPS that does to each token as the test says. Used by rings 1 and 2. */
import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";

export type Mood = (request: IncomingMessage, response: ServerResponse) => void;

export const answers =
  (status: number, headers: Record<string, string> = {}): Mood =>
  (_request, response) =>
    void response.writeHead(status, headers).end("so be it");
export const hangs: Mood = () => {};
export const answersGarbage: Mood = ({ socket }) => void socket.end("220 mail.example.org ESMTP\r\n");

export type Received = Readonly<{
  token: string;
  headers: Readonly<Record<string, unknown>>;
  /** Milliseconds since 1970. */
  at: number;
}>;

export type TestProxy = AsyncDisposable &
  Readonly<{
    url: string;
    received: readonly Received[];
    setMood: (mood: Mood) => void;
  }>;

/** @param tls key and certificate, PEM. */
export async function startTestProxy(
  options: Readonly<{ address?: string; port?: number; tls?: Readonly<{ key: string; cert: string }> }> = {},
): Promise<TestProxy> {
  const { address = "127.0.0.1", tls } = options;
  let mood = answers(200);
  const received: Received[] = [];
  const listener: RequestListener = async (request, response) => {
    let token = "";
    for await (const chunk of request) token += chunk;
    received.push({ token, headers: request.headers, at: performance.timeOrigin + performance.now() });
    mood(request, response);
  };
  const server = tls === undefined ? createHttpServer(listener) : createHttpsServer(tls, listener);
  server.listen(options.port ?? 0, address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://${address}:${port}/notify`,
    received,
    setMood: (next) => {
      mood = next;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
