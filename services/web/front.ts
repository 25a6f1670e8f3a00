/**
 * The doors of the web service: port 80, and the socket where services/mux hands over TLS connections with the client's
 * address in front (services/lib/proxy-protocol.ts). Called by service.ts.
 */
import type { Server as HttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import { takeProxyHeader } from "../lib/proxy-protocol.ts";
import { createHttp1Server, type Peer } from "./http1.ts";
import { finishSession, serveHttp2 } from "./http2.ts";
import { createPlaces } from "./places.ts";
import type { ServeOptions } from "./serve.ts";

export type FrontOptions = ServeOptions &
  Readonly<{
    /** What a new TLS connection is shown. */
    secureContext: () => SecureContext;
    listen: Readonly<{ http: ListenTarget; tls: ListenTarget }>;
  }>;

export type Front = Readonly<{
  http: HttpServer;
  tls: Server;
  /** Takes no more, and resolves when what is under way is done. */
  close(): Promise<void>;
}>;

/** Listens on both doors. Throws SocketInUseError, or the error of listen(2). */
export async function openFront(options: FrontOptions): Promise<Front> {
  const { limits, log } = options;
  const places = createPlaces(limits, options.count?.turnedAway ?? (() => {}));
  /** Of TLS connections. */
  const peers = new WeakMap<object, Peer>();
  const http = createHttp1Server(
    options,
    ({ socket }) =>
      peers.get(socket) ?? {
        client: plainAddress(socket.remoteAddress),
        isSecure: false,
        begin: () => places.begin(socket),
      },
  );

  const secure = (raw: Socket, client: string): void => {
    const socket = new TLSSocket(raw, {
      isServer: true,
      secureContext: options.secureContext(),
      ALPNProtocols: ["h2", "http/1.1"],
    });
    const limit = setTimeout(() => raw.destroy(), limits.handshakeMs);
    socket.on("error", () => raw.destroy());
    socket.once("close", () => {
      clearTimeout(limit);
      raw.destroy();
    });
    socket.once("secure", () => {
      clearTimeout(limit);
      // tls.Server does so for the sockets it makes itself; a session of HTTP/2 waits for it.
      Object.assign(socket, { secureConnecting: false });
      const peer = { client, isSecure: true, begin: () => places.begin(raw) };
      if (socket.alpnProtocol === "h2") places.setSession(raw, serveHttp2(socket, peer, options));
      else {
        peers.set(socket, peer);
        http.emit("connection", socket);
      }
    });
  };

  http.prependListener("connection", (socket: Socket) => {
    // TLS connections were counted at their own door.
    if (socket instanceof TLSSocket) return;
    places.admit(socket, plainAddress(socket.remoteAddress));
  });
  const tls = createServer((socket) => {
    if (!places.admit(socket)) return;
    const drop = () => socket.destroy();
    socket.on("error", drop);
    takeProxyHeader(socket, limits.proxyHeaderMs).then(
      (source) => {
        const client = source?.address ?? "";
        if (places.claim(socket, client)) secure(socket, client);
      },
      (cause) => {
        log.debug("a connection was closed before TLS", { cause: String(cause) });
        drop();
      },
    );
  });
  await listenSocket(http, options.listen.http);
  await listenSocket(tls, options.listen.tls);
  return {
    http,
    tls,
    close: async () => {
      const closed = [http, tls].map((server) => new Promise((resolve) => server.close(resolve)));
      places.finish(finishSession);
      await Promise.all(closed);
    },
  };
}

/** A socket for both families shows IPv4 clients as "::ffff:192.0.2.1" (RFC 4291 §2.5.5.2). */
function plainAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/i, "") ?? "";
}
