/**
 * All connections to port 443 and what bounds them: how many there are, of whom, how long they may be silent, and who
 * makes room when there are too many. Called by connection.ts, which passes their bytes on.
 */
import { createNetworkPlaces } from "../lib/network-places.ts";
import type { BackendName } from "./backends.ts";
import type { createHelloReader } from "./client-hello.ts";
import type { MuxLimits } from "./limits.ts";
import type { News } from "./news.ts";
import { close, type Ends, endpoints, type RawSocket } from "./raw-socket.ts";

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
  /** When the last byte came, in seconds of the crowd's clock. */
  active: number;
};

/** One of the two sockets, and what became of each direction. */
export type Side = {
  readonly socket: RawSocket<Connection>;
  /** It will send nothing more. */
  hasEnded: boolean;
  /** It has not taken all that was written to it. */
  isPending: boolean;
};

export type Crowd = Readonly<{
  /** A connection for a client that was accepted; undefined, and it is closed, when there is no place. */
  admit(client: RawSocket<Connection>): Connection | undefined;
  /** A byte came. */
  noteActive(connection: Connection): void;
  /** Its back end has it: it waits for nothing. */
  noteRouted(connection: Connection): void;
  /** A side does not take what is written to it. When there are too many, who has not read for the longest goes. */
  notePending(side: Side): void;
  /** It took all. */
  noteTaken(side: Side): void;
  end(connection: Connection): void;
  /** Ends it, and counts why. */
  refuse(connection: Connection, why: Refusal): void;
  /** Connections without a byte for a second count as ended; resolves when there is no other, or the time is up. */
  drain(): Promise<void>;
}>;

/** How often the time limits are looked at. Milliseconds. */
const SWEEP_MS = 1000;

export function createCrowd(limits: MuxLimits, count: MuxEvents, news: News): Crowd {
  const places = createNetworkPlaces(limits);
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

  return {
    admit: (client) => {
      // First its own network's limit: who has no place left takes nobody else's.
      const ends = endpoints(client);
      const network = ends === undefined ? undefined : places.take(ends.peer.address);
      if (network === undefined) {
        count.refused(ends === undefined ? "gone" : "network full");
        close(client);
        return undefined;
      }
      // Somebody who says nothing makes room for somebody who may.
      if (connections.size >= limits.connections)
        for (const oldest of waiting) {
          refuse(oldest, "full");
          break;
        }
      if (connections.size >= limits.connections) {
        places.leave(network);
        news.full(limits.connections);
        count.refused("full");
        close(client);
        return undefined;
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
      return connection;
    },
    noteActive: (connection) => {
      connection.active = now;
    },
    noteRouted: (connection) => void waiting.delete(connection),
    notePending: (side) => {
      side.isPending = true;
      pending.add(side);
      if (pending.size <= limits.pending) return;
      const [slowest] = pending;
      refuse(slowest!.socket.owner!, "not reading");
    },
    noteTaken: (side) => {
      side.isPending = false;
      pending.delete(side);
    },
    end,
    refuse,
    drain: async () => {
      if (connections.size === 0) return;
      const limit = setTimeout(() => {
        for (const connection of connections) end(connection);
      }, limits.drainSeconds * 1000);
      await new Promise<void>((resolve) => {
        drained = resolve;
      });
      clearTimeout(limit);
    },
  };
}

export function sideOf(socket: RawSocket<Connection>): Side {
  return { socket, hasEnded: false, isPending: false };
}
