/**
 * The places that connections take, whatever door they came by: how many there are, which of them wait for something,
 * and which have to go. Called by front.ts.
 */
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** A connection: the requests under way, and its session once it speaks HTTP/2. */
type Place = { requests: number; session: ServerHttp2Session | null };

export type Places = Readonly<{
  /**
   * Gives the connection a place. When all are taken, the oldest without a request makes room: it is in a handshake or
   * header that takes its time, or idle. False, and the connection is closed, when every one has a request.
   */
  admit(socket: Socket): boolean;
  /** A request of the connection begins; the function given back ends it. */
  begin(socket: Socket): () => void;
  /** The connection speaks HTTP/2. */
  setSession(socket: Socket, session: ServerHttp2Session): void;
  count(): number;
  /** Ends those without a request, and the others when theirs are done. */
  finish(end: (session: ServerHttp2Session) => void): void;
}>;

/** `turnedAway`: "busy" for one that found no place, "idle" for one that made room. */
export function createPlaces(most: number, turnedAway: (reason: "busy" | "idle") => void): Places {
  /** In the order in which they came. */
  const places = new Map<Socket, Place>();

  const makeRoom = (): boolean => {
    for (const [socket, { requests }] of places) {
      if (requests > 0) continue;
      places.delete(socket);
      socket.destroy();
      turnedAway("idle");
      return true;
    }
    return false;
  };

  return {
    admit(socket) {
      if (places.size >= most && !makeRoom()) {
        turnedAway("busy");
        socket.destroy();
        return false;
      }
      places.set(socket, { requests: 0, session: null });
      socket.once("close", () => places.delete(socket));
      return true;
    },
    begin(socket) {
      const place = places.get(socket);
      if (place === undefined) return () => {};
      place.requests += 1;
      return () => {
        place.requests -= 1;
      };
    },
    setSession(socket, session) {
      const place = places.get(socket);
      if (place !== undefined) place.session = session;
    },
    count: () => places.size,
    finish(end) {
      for (const [socket, { requests, session }] of places) {
        if (session !== null) end(session);
        else if (requests === 0) socket.destroy();
      }
    },
  };
}
