/**
 * A connection to port 443: reads the ClientHello, opens one to the back end that it is for, tells that by the PROXY
 * protocol who the client is, and passes bytes both ways untouched until both sides have ended. Called by service.ts.
 *
 * Back-pressure: what the kernel does not take at once is one chunk, and until it is taken the side it came from is
 * not read. So a connection holds one chunk for each direction at most.
 */
import type { Log } from "../lib/log.ts";
import { proxyHeader } from "../lib/proxy-header.ts";
import { type BackendName, type Backends, backendFor } from "./backends.ts";
import { createHelloReader } from "./client-hello.ts";
import type { MuxLimits } from "./limits.ts";
import { createNews } from "./news.ts";
import { createPlaces } from "./places.ts";
import {
  close,
  connectRaw,
  type Ends,
  endpoints,
  type RawSocket,
  type SocketEvents,
  shutdown,
  startReading,
  stopReading,
  write,
} from "./raw-socket.ts";

/** Why a connection was closed before its sides ended it. */
export type Refusal =
  | "not TLS"
  | "too long"
  | "too slow"
  | "not reading"
  | "gone"
  | "network full"
  | "full"
  | "back end down";

/** What is counted; never who. */
export type MuxEvents = Readonly<{
  routed(backend: BackendName): void;
  refused(why: Refusal, backend?: BackendName): void;
  /** How many connections there are. */
  open(count: number): void;
}>;

export type Mux = Readonly<{
  events: SocketEvents<Connection>;
  accept(client: RawSocket<Connection>): void;
  /** Connections without a byte for a second count as ended; resolves when there is no other, or the time is up. */
  drain(): Promise<void>;
}>;

export type Connection = {
  phase: "hello" | "connecting" | "open" | "closed";
  readonly client: Side;
  backend: Side | undefined;
  name: BackendName | undefined;
  readonly network: string;
  /** Who the client is, until the back end knows. */
  ends: Ends | undefined;
  /** What the client said so far, until the back end has it. */
  hello: Buffer | undefined;
  readHello: ReturnType<typeof createHelloReader> | undefined;
  /** When the last byte came, in seconds of the sweep's clock. */
  active: number;
};

/** One of the two sockets, and what became of each direction. */
type Side = {
  readonly socket: RawSocket<Connection>;
  /** It will send nothing more. */
  hasEnded: boolean;
  /** It has not taken all that was written to it. */
  isPending: boolean;
};

/** How often the time limits are looked at. Milliseconds. */
const SWEEP_MS = 1000;

export function createMux(
  options: Readonly<{ backends: Backends; limits: MuxLimits; count: MuxEvents; log: Log }>,
): Mux {
  const { backends, limits, count } = options;
  const news = createNews(options.log);
  const places = createPlaces(limits.perNetwork);
  const connections = new Set<Connection>();
  /** Those that have no back end yet, the oldest first. */
  const waiting = new Set<Connection>();
  /** Those that have not taken all yet, the longest first. */
  const pending = new Set<Side>();
  let now = 0;
  let sweeping: NodeJS.Timeout | undefined;
  let drained: (() => void) | undefined;

  const end = (connection: Connection): void => {
    if (connection.phase === "closed") return;
    connection.phase = "closed";
    connection.hello = undefined;
    close(connection.client.socket);
    if (connection.backend !== undefined) close(connection.backend.socket);
    connections.delete(connection);
    pending.delete(connection.client);
    if (connection.backend !== undefined) pending.delete(connection.backend);
    waiting.delete(connection);
    places.leave(connection.network);
    count.open(connections.size);
    if (connections.size > 0) return;
    clearInterval(sweeping);
    sweeping = undefined;
    drained?.();
  };

  const refuse = (connection: Connection, why: Refusal): void => {
    if (connection.phase === "closed") return;
    count.refused(why, connection.name);
    end(connection);
  };

  const sweep = (): void => {
    now += SWEEP_MS / 1000;
    for (const connection of waiting) {
      if (now - connection.active < limits.helloSeconds) break;
      refuse(connection, connection.phase === "connecting" ? "back end down" : "too slow");
    }
    for (const connection of connections) {
      const { client, backend } = connection;
      const isHalfClosed = client.hasEnded || backend?.hasEnded === true;
      const limit = isHalfClosed ? limits.halfClosedSeconds : limits.idleSeconds;
      const silence = now - connection.active;
      if (silence >= limit || (drained !== undefined && silence > 1)) end(connection);
    }
  };

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
    if (read.kind === "refused") refuse(connection, read.why);
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
    refuse(connection, "back end down");
  };

  const begin = (connection: Connection, backend: Side): void => {
    const name = connection.name!;
    news.up(name);
    count.routed(name);
    waiting.delete(connection);
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
      end(connection);
      return;
    }
    to.isPending = true;
    stopReading(from.socket);
    pending.add(to);
    if (pending.size <= limits.pending) return;
    // Who has not read for the longest makes room.
    const [slowest] = pending;
    refuse(slowest!.socket.owner!, "not reading");
  };

  const events: SocketEvents<Connection> = {
    read: (socket, bytes) => {
      const connection = socket.owner!;
      const { client, backend } = connection;
      if (connection.phase !== "open") {
        readHello(connection, bytes);
        return;
      }
      connection.active = now;
      if (socket === client.socket) pass(connection, client, backend!, bytes);
      else pass(connection, backend!, client, bytes);
    },
    ended: (socket) => {
      const connection = socket.owner!;
      if (connection.phase === "hello") {
        refuse(connection, "gone");
        return;
      }
      const [from, to] = sides(connection, socket);
      from.hasEnded = true;
      // `begin` goes on.
      if (connection.phase === "connecting") return;
      connection.active = now;
      // A side is read only while the other has taken all: nothing is left, and closing tells them so.
      if (to.hasEnded) end(connection);
      else shutdown(to.socket);
    },
    written: (socket) => {
      const [to, from] = sides(socket.owner!, socket);
      to.isPending = false;
      pending.delete(to);
      socket.owner!.active = now;
      if (!from.hasEnded) startReading(from.socket);
    },
    connected: (socket) => begin(socket.owner!, socket.owner!.backend!),
    failed: (socket, code) => {
      const connection = socket.owner!;
      const isOfBackend = socket === connection.backend?.socket;
      if (connection.phase === "connecting" && isOfBackend) backendFailed(connection, connection.name!, code);
      else if (connection.phase === "open") end(connection);
      else refuse(connection, "gone");
    },
  };

  const accept = (client: RawSocket<Connection>): void => {
    // Somebody who says nothing makes room for somebody who may.
    if (connections.size >= limits.connections)
      for (const oldest of waiting) {
        refuse(oldest, "full");
        break;
      }
    if (connections.size >= limits.connections) {
      news.full(limits.connections);
      count.refused("full");
      close(client);
      return;
    }
    const ends = endpoints(client);
    const network = ends === undefined ? undefined : places.take(ends.peer.address);
    if (network === undefined) {
      count.refused(ends === undefined ? "gone" : "network full");
      close(client);
      return;
    }
    const connection: Connection = {
      phase: "hello",
      client: sideOf(client),
      backend: undefined,
      name: undefined,
      network,
      ends,
      hello: undefined,
      readHello: undefined,
      active: now,
    };
    client.owner = connection;
    connections.add(connection);
    waiting.add(connection);
    count.open(connections.size);
    sweeping ??= setInterval(sweep, SWEEP_MS);
    startReading(client);
  };

  const drain = async (): Promise<void> => {
    if (connections.size === 0) return;
    const limit = setTimeout(() => {
      for (const connection of connections) end(connection);
    }, limits.drainSeconds * 1000);
    await new Promise<void>((resolve) => {
      drained = resolve;
    });
    clearTimeout(limit);
  };

  return { events, accept, drain };
}

function sideOf(socket: RawSocket<Connection>): Side {
  return { socket, hasEnded: false, isPending: false };
}

/** This socket's side and the other's; there is a back end. */
function sides(connection: Connection, socket: RawSocket<Connection>): readonly [own: Side, other: Side] {
  const { client, backend } = connection;
  return socket === client.socket ? [client, backend!] : [backend!, client];
}
