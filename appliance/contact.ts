/**
 * How people reach the operator (`contact` of relay.toml), as the URI that clients are shown: /shared/admin of IMAP
 * METADATA must be one (RFC 5464 §6.2.1), and Dovecot takes none with a fragment ("#…"). Called by
 * relay-settings.ts to judge the setting and by files/dovecot.ts; pure.
 */
import { DomainError, parseDomain } from "./domain.ts";

/** An address as far as it decides between address and link; the domain is judged by parseDomain. */
const ADDRESS = /^([^\s@:/]+)@([^\s@/]+)$/u;

/** "me@example.org" → "mailto:me@example.org"; a link by https or mailto as a URI, without a fragment. Undefined: neither of them. */
export function contactUri(contact: string): string | undefined {
  const [, localPart, domain] = ADDRESS.exec(contact) ?? [];
  if (localPart !== undefined && domain !== undefined) return mailtoUri(localPart, domain);
  if (!URL.canParse(contact)) return undefined;
  const { protocol, href, host, pathname } = new URL(contact);
  if (href.includes("#")) return undefined;
  // An IPv6 address in brackets is no name that a person could be reached by for long.
  if (protocol === "https:" ? host.startsWith("[") : protocol !== "mailto:" || !pathname.includes("@")) {
    return undefined;
  }
  return encode(href);
}

/** RFC 6068 §2. */
function mailtoUri(localPart: string, domain: string): string | undefined {
  try {
    return `mailto:${encode(encodeURIComponent(localPart.toWellFormed()))}@${parseDomain(domain)}`;
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
}

/**
 * Percent-encodes what may not stand in a URI (RFC 3986 §2), which browsers are laxer about. "$" may, but "$SET:" and
 * "$ENV:" are variables in dovecot.conf, even in quotes.
 */
function encode(text: string): string {
  return text.replace(/%(?![0-9a-f]{2})|[^a-z0-9\-._~:/?@!&'()*+,;=%]/giu, encodeURIComponent);
}
