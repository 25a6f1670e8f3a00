/**
 * Whom the installer asks about the DNS: the computer's resolvers, resolvers by HTTPS where port 53 cannot be used, and
 * the roots. A value, so that tests have a world of their own and owners can name other servers. Called by the commands
 * and the wizard; I/O: reads the system's list of resolvers.
 */
import { getServers } from "node:dns";
import { isIP } from "node:net";
import { briefFetch } from "./brief-fetch.ts";
import type { ServerPlace } from "./exchange.ts";

export type DnsWorld = Readonly<{
  /** The computer's resolvers; may be none. */
  resolvers: readonly ServerPlace[];
  /** Asked only where port 53 is blocked or answered by somebody else, or to hear a resolver that validates DNSSEC. */
  https: readonly string[];
  /** Addresses of servers of the root, for computers without a resolver that works. */
  roots: readonly string[];
  /** Where name servers listen. */
  port: number;
  /** An address at which nobody is: whoever answers there answers in the place of others. */
  nowhere: string;
  /** For requests by HTTPS. */
  fetch?: typeof fetch;
}>;

/**
 * By address, since names would first have to be found; their certificates hold the addresses. Both take HTTP/1.1, which
 * is what Node speaks (Quad9 does not).
 */
const usualHttpsResolvers = ["https://1.1.1.1/dns-query", "https://8.8.8.8/dns-query"] as const;
/** a, f, j and k.root-servers.net, by IPv4 and IPv6 (www.iana.org/domains/root/servers). */
const rootAddresses = [
  ...["198.41.0.4", "192.5.5.241", "192.58.128.30", "193.0.14.129"],
  ...["2001:503:ba3e::2:30", "2001:500:2f::f", "2001:503:c27::2:30", "2001:7fd::1"],
];
/** Of TEST-NET-1, which no network may have (RFC 5737). */
const NOWHERE = "192.0.2.53";
const DNS_PORT = 53;

/** `https` replaces the usual resolvers. */
export function realWorld(https: readonly string[] = usualHttpsResolvers): DnsWorld {
  const resolvers = getServers().flatMap((text) => parsePlace(text) ?? []);
  return { resolvers, https, roots: rootAddresses, port: DNS_PORT, nowhere: NOWHERE, fetch: briefFetch };
}

/** "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353"; undefined for anything else. */
export function parsePlace(text: string): ServerPlace | undefined {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const [, inBrackets, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = inBrackets ?? plain ?? "";
  const port = digits === undefined ? DNS_PORT : Number(digits);
  const isRight = isIP(address) === (inBrackets === undefined ? 4 : 6) && port > 0 && port < 65_536;
  return isRight ? { address, port } : undefined;
}
