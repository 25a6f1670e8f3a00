/**
 * The places that connections take, whatever door they came by: how many there are, of whom, which of them wait for
 * something, and which have to go. Called by front.ts.
 */
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { createNetworkPlaces } from "../lib/network-places.ts";

/** A connection: the requests under way, how many of their answers are not read yet, and its session of HTTP/2. */
type Place = { requests: number; unread: number; session: ServerHttp2Session | null };

/** A request from its header to the end of its answer. */
export type UnderWay = Readonly<{
  /** The answer is made: from now on the client is waited for, not we. */
  answered(): void;
  /** It is read, or given up. */
  end(): void;
}>;

/**
 * Why a connection was closed by us: "busy" found no place, "network" had too many, "idle" and "unread" made room, having
 * asked nothing or read no answer.
 */
export type TurnedAway = "busy" | "network" | "idle" | "unread";

export type Places = Readonly<{
  /**
   * Gives the connection a place. When all are taken, the oldest without a request makes room: it is in a handshake or
   * header that takes its time, or idle. Without such a one, who has left a finished answer unread for the longest.
   * False, and the connection is closed, when all wait for us. Whose `address` is known already takes nobody's place when
   * its network has enough.
   */
  admit(socket: Socket, address?: string): boolean;
  /** Who a connection is from that was let in without; false, and it is closed, when that network has enough. */
  claim(socket: Socket, address: string): boolean;
  begin(socket: Socket): UnderWay;
  /** The connection speaks HTTP/2. */
  setSession(socket: Socket, session: ServerHttp2Session): void;
  /** Ends those without a request, and the others when theirs are done. */
  finish(end: (session: ServerHttp2Session) => void): void;
}>;

export function createPlaces(
  limits: Readonly<{ connections: number; connectionsOfSite: number }>,
  turnedAway: (reason: TurnedAway) => void,
): Places {
  /** In the order in which they came. */
  const places = new Map<Socket, Place>();
  /** With answers to read, in the order in which they last read one, or got their first. */
  const unread = new Set<Socket>();
  const networks = createNetworkPlaces({
    perNetwork: limits.connectionsOfSite,
    perSite: limits.connectionsOfSite,
  });

  const close = (socket: Socket, reason: TurnedAway): void => {
    places.delete(socket);
    unread.delete(socket);
    socket.destroy();
    turnedAway(reason);
  };
  const makeRoom = (): boolean => {
    for (const [socket, { requests }] of places) {
      if (requests > 0) continue;
      close(socket, "idle");
      return true;
    }
    const [slowest] = unread;
    if (slowest !== undefined) close(slowest, "unread");
    return slowest !== undefined;
  };

  const claim = (socket: Socket, address: string): boolean => {
    const network = networks.take(address);
    if (network === undefined) close(socket, "network");
    else socket.once("close", () => networks.leave(network));
    return network !== undefined;
  };

  return {
    admit(socket, address) {
      if (address !== undefined && !claim(socket, address)) return false;
      if (places.size >= limits.connections && !makeRoom()) {
        close(socket, "busy");
        return false;
      }
      places.set(socket, { requests: 0, unread: 0, session: null });
      socket.once("close", () => {
        places.delete(socket);
        unread.delete(socket);
      });
      return true;
    },
    claim,
    begin(socket) {
      const place = places.get(socket);
      if (place === undefined) return { answered: () => {}, end: () => {} };
      place.requests += 1;
      let isAnswered = false;
      return {
        answered() {
          // It may be gone.
          if (isAnswered || !places.has(socket)) return;
          isAnswered = true;
          place.unread += 1;
          unread.add(socket);
        },
        end() {
          place.requests -= 1;
          if (!isAnswered) return;
          place.unread -= 1;
          unread.delete(socket);
          if (place.unread > 0 && places.has(socket)) unread.add(socket);
        },
      };
    },
    setSession(socket, session) {
      const place = places.get(socket);
      if (place !== undefined) place.session = session;
    },
    finish(end) {
      for (const [socket, { requests, session }] of places) {
        if (session !== null) end(session);
        else if (requests === 0) socket.destroy();
      }
    },
  };
}
