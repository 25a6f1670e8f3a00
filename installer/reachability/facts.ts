/**
 * What the probes of ./homing doctor find out about a line to the Internet, as values. Made by look.ts, judged by
 * grade.ts, printed by report-text.ts and as JSON.
 */

import type { ForwardingWay } from "./forwarder.ts";
import type { CallPorts } from "./relay-ports.ts";

/** Ports that a relay, or somebody on the same line, connects to on other machines. */
export const probedPorts = [25, 443, 465, 587] as const;
export type ProbedPort = (typeof probedPorts)[number];

export type PortFact = Readonly<{
  port: ProbedPort;
  /**
   * "open": a server spoke as one does there. "closed": none could be connected to. "intercepted": somebody took the
   * connection, but it was no server of that kind. "unknown": no host could be tried, for their names were not found.
   */
  state: "open" | "closed" | "intercepted" | "unknown";
  /** Kinds of IP by which it is open: 4, 6. */
  families: readonly (4 | 6)[];
  /** One line for each host that was tried: what came of it. */
  tried: readonly string[];
}>;

export type FamilyFact = Readonly<{
  /** This computer's address on its way out; null when it has no way of this kind. */
  local: string | null;
  /**
   * The way out leads through this, which is no network card: a VPN, or a modem of this computer's own. Null: through a
   * card, as everything else on the line.
   */
  tunnel: string | null;
  /** The address that the Internet sees; null when no service told it. */
  seen: string | null;
  /** Why not, when a service was asked in vain; "" otherwise. */
  reason: string;
}>;

export type RouterFact = Readonly<{
  /** Its local address. */
  address: string;
  /** The outer IPv4 address by its own account (NAT-PMP, UPnP); null when it does not tell. */
  outerAddress: string | null;
  /** Ways in which it lets programs forward ports, the preferred first. */
  forwarding: readonly ForwardingWay[];
}>;

export type LineFacts = Readonly<{
  ipv4: FamilyFact;
  ipv6: FamilyFact;
  /** Null: there is none, or it was not found. */
  router: RouterFact | null;
  /** Whether the first router on the way has the address that the Internet sees (first-hop.ts); null: not shown. */
  firstHopHasAddress: boolean | null;
  ports: readonly PortFact[];
  /** "resolver": this computer's answers. "https": only one by HTTPS does. "none": nobody does. "unasked": no need. */
  names: "resolver" | "https" | "none" | "unasked";
  /** Somebody on the way answers port 53 in the place of others. */
  namesIntercepted: boolean;
  /** The name of the IPv4 address that the Internet sees; null for none. */
  reverse: string | null;
  /** This computer's clock less that of an address service, in seconds; null when none told its time. */
  clockOffset: number | null;
  /** Where images are put by ./homing build, and the bytes that are free there; null when the system does not tell. */
  freeBytes: number | null;
  /** The relay's domain, and its addresses in the DNS; null when nobody answers. Null without a relay folder. */
  domain: Readonly<{ name: string; addresses: readonly string[] | null }> | null;
  /** What the relay needs for calls; null where it does not help with them, and without a relay folder. */
  callPorts: CallPorts | null;
  /** Everything outside this computer and its resolvers that was asked. */
  asked: readonly string[];
}>;
