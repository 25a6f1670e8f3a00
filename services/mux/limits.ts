/** How many connections port 443 holds, and for how long. Pure. Called by service.ts, crowd.ts and the bench. */
import { connectionsOfSource } from "../../appliance/files/capacity.ts";
import { CHUNK_BYTES } from "./raw-socket.ts";

/** The memory that a connection takes: 2 kB here (test/bench/mux.ts), the rest for its two sockets in the kernel. */
const CONNECTION_BYTES = 10_000;
/** Of the machine's memory; the processes behind us, which need hundreds of times as much, have limits of their own. */
const SHARE_OF_MEMORY = 0.1;
/** Two descriptors each, of which the unit allows LimitNOFILE (appliance/files/units.ts). */
const MOST_CONNECTIONS = 16_000;

/** Of the machine's memory, for what sides that do not read have not taken yet: a chunk each. */
const SHARE_FOR_CHUNKS = 0.05;

/** At a carrier a /48 is thousands of phones, at a hoster one customer: some networks' worth, and never all places. */
const NETWORKS_PER_SITE = 4;

export type MuxLimits = Readonly<{
  /** At the same time, of everybody. */
  connections: number;
  /** At the same time, of one network: an IPv4 address, an IPv6 /64. */
  perNetwork: number;
  /** At the same time, of one IPv6 /48. */
  perSite: number;
  /** Sides at the same time that have not taken all that was written to them. */
  pending: number;
  /**
   * From the first segment to an open connection to the back end, in seconds. A client says its ClientHello without
   * waiting for anything; on the worst of lines a lost one is sent again after 1, 3 and 7 s (RFC 6298).
   */
  helloSeconds: number;
  /**
   * Without a byte in either direction, in seconds. A client may be silent in IDLE for 29 minutes (RFC 2177), and its
   * server must bear 30 (RFC 3501 §5.4); Dovecot says something every two.
   */
  idleSeconds: number;
  /** The same when one side has said that it was all: nothing is left to wait for but an answer under way. */
  halfClosedSeconds: number;
  /** After the request to stop, in seconds: who is in the middle of something may end it. */
  drainSeconds: number;
}>;

/** The limits of a machine with so many bytes of memory. */
export function muxLimits(memoryBytes: number): MuxLimits {
  const connections = Math.min(
    MOST_CONNECTIONS,
    Math.floor((memoryBytes * SHARE_OF_MEMORY) / CONNECTION_BYTES),
  );
  const perNetwork = connectionsOfSource({ memoryBytes });
  return {
    connections,
    perNetwork,
    perSite: Math.min(perNetwork * NETWORKS_PER_SITE, Math.floor(connections / 2)),
    pending: Math.floor((memoryBytes * SHARE_FOR_CHUNKS) / CHUNK_BYTES),
    helloSeconds: 10,
    idleSeconds: 35 * 60,
    halfClosedSeconds: 60,
    drainSeconds: 8,
  };
}
