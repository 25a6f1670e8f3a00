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
  if (plain === undefined) return undefined;
  const isHost = isIP(plain) !== 0 || isDnsName(plain);
  return isHost ? { host: plain, port } : undefined;
}

/**
 * RFC 1035 §2.3.4, with the underscores that names of keys may have, perhaps a dot at the end. Label by label: one pattern
 * for all of it would take longer than anybody waits for some wrong names.
 */
export function isDnsName(text: string): boolean {
  if (text.length > 253) return false;
  return text
    .replace(/\.$/, "")
    .split(".")
    .every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label));
}
