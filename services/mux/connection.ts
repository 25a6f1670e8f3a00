/**
 * A connection to port 443: reads the ClientHello, opens one to the back end that it is for, tells that by the PROXY
 * protocol who the client is, and passes bytes both ways untouched until both sides have ended. How many there may be
 * and for how long is in crowd.ts. Called by service.ts.
 *
 * Back-pressure: what the kernel does not take at once is one chunk, and until it is taken the side it came from is
 * not read. So a connection holds one chunk for each direction at most.
 */
import type { Log } from "../lib/log.ts";
import { proxyHeader } from "../lib/proxy-header.ts";
import { type BackendName, type Backends, backendFor } from "./backends.ts";
import { createHelloReader } from "./client-hello.ts";
import { type Connection, createCrowd, type MuxEvents, type Side, sideOf } from "./crowd.ts";
import type { MuxLimits } from "./limits.ts";
import { createNews } from "./news.ts";
import {
  connectRaw,
  type RawSocket,
  type SocketEvents,
  shutdown,
  startReading,
  stopReading,
  write,
} from "./raw-socket.ts";

export type Mux = Readonly<{
  events: SocketEvents<Connection>;
  accept(client: RawSocket<Connection>): void;
  /** Connections without a byte for a second count as ended; resolves when there is no other, or the time is up. */
  drain(): Promise<void>;
}>;

export function createMux(
  options: Readonly<{ backends: Backends; limits: MuxLimits; count: MuxEvents; log: Log }>,
): Mux {
  const { backends, limits, count } = options;
  const news = createNews(options.log);
  const crowd = createCrowd(limits, count, news);

  const readHello = (connection: Connection, bytes: Buffer): void => {
    const hello =
      connection.hello === undefined ? Buffer.from(bytes) : Buffer.concat([connection.hello, bytes]);
    connection.hello = hello;
    if (connection.phase === "connecting") {
      // Early data: no more of it until the back end has this.
      stopReading(connection.client.socket);
      return;
    }
    connection.readHello ??= createHelloReader();
    const read = connection.readHello(hello);
    if (read.kind === "more") return;
    connection.readHello = undefined;
    if (read.kind === "refused") crowd.refuse(connection, read.why);
    else connectBackend(connection, backendFor(read.protocols));
  };

  const connectBackend = (connection: Connection, name: BackendName): void => {
    connection.phase = "connecting";
    connection.name = name;
    const { socket, code } = connectRaw(backends[name], events, connection);
    connection.backend = sideOf(socket);
    if (code < 0) backendFailed(connection, name, code);
  };

  const backendFailed = (connection: Connection, name: BackendName, code: number): void => {
    news.down(name, code);
    crowd.refuse(connection, "back end down");
  };

  const begin = (connection: Connection, backend: Side): void => {
    const name = connection.name!;
    news.up(name);
    count.routed(name);
    crowd.noteRouted(connection);
    connection.phase = "open";
    const { ends, hello } = connection;
    connection.ends = undefined;
    connection.hello = undefined;
    pass(
      connection,
      connection.client,
      backend,
      Buffer.concat([proxyHeader(ends!.peer, ends!.local), hello!]),
    );
    startReading(backend.socket);
    if (connection.client.hasEnded) shutdown(backend.socket);
    else if (!backend.isPending) startReading(connection.client.socket);
  };

  const pass = (connection: Connection, from: Side, to: Side, bytes: Buffer): void => {
    const outcome = write(to.socket, bytes);
    if (outcome === "done") return;
    if (outcome === "failed") {
      crowd.end(connection);
      return;
    }
    stopReading(from.socket);
    crowd.notePending(to);
  };

  const events: SocketEvents<Connection> = {
    read: (socket, bytes) => {
      const connection = socket.owner!;
      const { client, backend } = connection;
      if (connection.phase !== "open") {
        readHello(connection, bytes);
        return;
      }
      crowd.noteActive(connection);
      if (socket === client.socket) pass(connection, client, backend!, bytes);
      else pass(connection, backend!, client, bytes);
    },
    ended: (socket) => {
      const connection = socket.owner!;
      if (connection.phase === "hello") {
        crowd.refuse(connection, "gone");
        return;
      }
      const [from, to] = sides(connection, socket);
      from.hasEnded = true;
      // `begin` goes on.
      if (connection.phase === "connecting") return;
      crowd.noteActive(connection);
      // A side is read only while the other has taken all: nothing is left, and closing tells them so.
      if (to.hasEnded) crowd.end(connection);
      else shutdown(to.socket);
    },
    written: (socket) => {
      const [to, from] = sides(socket.owner!, socket);
      crowd.noteTaken(to);
      crowd.noteActive(socket.owner!);
      if (!from.hasEnded) startReading(from.socket);
    },
    connected: (socket) => begin(socket.owner!, socket.owner!.backend!),
    failed: (socket, code) => {
      const connection = socket.owner!;
      const isOfBackend = socket === connection.backend?.socket;
      if (connection.phase === "connecting" && isOfBackend) backendFailed(connection, connection.name!, code);
      else if (connection.phase === "open") crowd.end(connection);
      else crowd.refuse(connection, "gone");
    },
  };

  const accept = (client: RawSocket<Connection>): void => {
    if (crowd.admit(client) !== undefined) startReading(client);
  };

  return { events, accept, drain: crowd.drain };
}

/** This socket's side and the other's; there is a back end. */
function sides(connection: Connection, socket: RawSocket<Connection>): readonly [own: Side, other: Side] {
  const { client, backend } = connection;
  return socket === client.socket ? [client, backend!] : [backend!, client];
}
