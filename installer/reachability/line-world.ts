/**
 * Whom ./homing doctor asks about the line, and for how long. A value, so that owners can name other services and tests
 * have a world of their own. Called by the command and the wizard.
 */
import type { DnsWorld } from "../dns/world.ts";
import type { ProbedPort } from "./facts.ts";
import { firstHopHas } from "./first-hop.ts";
import type { RouterPlaces } from "./router.ts";

export type ProbedHost = Readonly<{ host: string; port: number }>;

export type LineWorld = Readonly<{
  dns: DnsWorld;
  /** URLs that answer with the caller's address, for each kind of IP. The next one is asked when the one before fails. */
  addressServices: Readonly<Record<4 | 6, readonly string[]>>;
  /** Servers that are connected to, to see whether the line lets that happen. One that answers is enough. */
  hosts: Readonly<Record<ProbedPort, readonly ProbedHost[]>>;
  /** Addresses to which this computer's way out is looked up; nothing is sent there. */
  routes: Readonly<Record<4 | 6, string>>;
  /** The router; null: not asked. undefined: found in the system's table of routes. */
  router?: RouterPlaces | null;
  /** Whether the first router on the way has an address; null: not tried. */
  firstHopHas: ((address: string, signal: AbortSignal) => Promise<boolean | null>) | null;
  /** Certificates to trust besides the usual ones. */
  authorities?: string;
  /** For each host, and for all together; in milliseconds. */
  limits: Readonly<{ host: number; whole: number }>;
  now: () => number;
}>;

/** Cloudflare's by address (no DNS needed), and deSEC's, each over one kind of IP alone. */
const addressServices = {
  4: ["https://1.1.1.1/cdn-cgi/trace", "https://checkipv4.dedyn.io/"],
  6: ["https://[2606:4700:4700::1111]/cdn-cgi/trace", "https://checkipv6.dedyn.io/"],
} as const;
/** Two of different owners for each port, that a firm's trouble is not taken for the line's. */
const usualHosts: Readonly<Record<ProbedPort, readonly string[]>> = {
  25: ["gmail-smtp-in.l.google.com", "in1-smtp.messagingengine.com"],
  443: ["1.1.1.1", "nine.testrun.org"],
  465: ["smtp.gmail.com", "smtp.fastmail.com"],
  587: ["smtp.gmail.com", "smtp.fastmail.com"],
};

/** A connection with TLS over a slow line takes a second or two; a closed port mostly keeps silent. */
const HOST_LIMIT_MS = 4_500;
/** What takes longer counts as not there: with the start of the program it is ten seconds, where every packet is lost. */
const WHOLE_LIMIT_MS = 8_500;

export function usualLineWorld(dns: DnsWorld): LineWorld {
  const hostsAt = (port: ProbedPort) => usualHosts[port].map((host) => ({ host, port }));
  return {
    ...{ dns, addressServices },
    hosts: { 25: hostsAt(25), 443: hostsAt(443), 465: hostsAt(465), 587: hostsAt(587) },
    routes: { 4: "1.1.1.1", 6: "2606:4700:4700::1111" },
    firstHopHas,
    limits: { host: HOST_LIMIT_MS, whole: WHOLE_LIMIT_MS },
    now: Date.now,
  };
}
