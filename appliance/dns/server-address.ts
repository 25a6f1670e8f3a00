/**
 * Where a name server is, as people write it in relay.toml: NAME, ADDRESS, NAME:PORT or [IPV6]:PORT. Called by the
 * settings (relay-settings.ts) and by rfc2136.ts; pure.
 */
import { isIP, isIPv6 } from "node:net";

export type DnsServerAddress = Readonly<{ host: string; port: number }>;

/** RFC 1035 §4.2. */
const DNS_PORT = 53;

/** Undefined when the text is none of these. */
export function parseDnsServer(text: string): DnsServerAddress | undefined {
  if (isIP(text) !== 0) return { host: text, port: DNS_PORT };
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = portText === undefined ? DNS_PORT : Number(portText);
  if (port < 1 || port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined;
  if (plain === undefined || plain.length > 253) return undefined;
  const isHost = isIP(plain) !== 0 || /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.?)+$/i.test(plain);
  return isHost ? { host: plain, port } : undefined;
}
