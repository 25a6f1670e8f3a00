/**
 * What people on the Internet connect to at a relay, which the router has to let in: the same TCP ports on each, and UDP
 * ports where it helps with calls ([turn] of relay.toml). Pure; used by forward.ts and by all that tells of ports.
 */
import { ports, turnPort } from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";

export type RouterPort = Readonly<{ protocol: "tcp" | "udp"; port: number }>;

/** UDP: that of TURN itself, and the range in which each end of a call takes one. */
export type CallPorts = Readonly<{ turn: number; first: number; last: number }>;

/** Lowest first. */
const tcpPorts: readonly number[] = Object.values(ports).toSorted((a, b) => a - b);

/**
 * Of a larger range a router is not asked: each port is a question and an entry of its own, home routers keep some dozens
 * to some hundreds of those, and slow ones take a second for each. Sixteen calls at the same time fit in.
 */
export const MAX_ASKED_CALL_PORTS = 32;

/** Null where the relay does not help with calls. */
export function callPortsOf({ turn }: Pick<RelayConfig, "turn">): CallPorts | null {
  return turn.enabled ? { turn: turnPort, first: turn.firstPort, last: turn.lastPort } : null;
}

export const areTooMany = ({ first, last }: CallPorts) => last - first + 1 > MAX_ASKED_CALL_PORTS;

/** One by one, as a router is asked for them. The port of TURN is the last: phones are told of it as soon as it answers. */
export function routerPorts(calls: CallPorts | null): RouterPort[] {
  const tcp = tcpPorts.map((port): RouterPort => ({ protocol: "tcp", port }));
  if (calls === null || areTooMany(calls)) return tcp;
  const range = Array.from({ length: calls.last - calls.first + 1 }, (_, index) => calls.first + index);
  return [...tcp, ...[...range, calls.turn].map((port): RouterPort => ({ protocol: "udp", port }))];
}

/** “TCP ports 25, 80 and UDP ports 3478, 49152 to 49407”. */
export function portWords(calls: CallPorts | null): string {
  const tcp = `TCP ports ${tcpPorts.join(", ")}`;
  return calls === null ? tcp : `${tcp} and the ${callPortWords(calls)}`;
}

export function callPortWords({ turn, first, last }: CallPorts): string {
  return `UDP ports ${turn}, ${first === last ? first : `${first} to ${last}`}`;
}

/** “25, 80, UDP 3478, 49152 to 49154”, lowest first. */
export function portListWords(some: readonly RouterPort[]): string {
  const of = (wanted: RouterPort["protocol"]) =>
    some.flatMap(({ protocol, port }) => (protocol === wanted ? [port] : [])).toSorted((a, b) => a - b);
  const spans: [number, number][] = [];
  for (const port of of("udp")) {
    const span = spans.at(-1);
    if (span?.[1] === port - 1) span[1] = port;
    else spans.push([port, port]);
  }
  const udp = spans.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`));
  return [of("tcp").join(", "), udp.length === 0 ? "" : `UDP ${udp.join(", ")}`].filter(Boolean).join(", ");
}
