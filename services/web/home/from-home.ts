/**
 * Which requests are from the relay's own network, for its status page: from a private address, to a name or an address
 * that exists nowhere else. The name keeps pages of others out that have themselves resolved to a private address (DNS
 * rebinding); anybody else is answered like any unknown name. A router that hides who comes from the Internet behind its
 * own address lets strangers in here as well, so no secret is on the page. A public address of IPv6 is nobody's proof,
 * though it be on the relay's link: at a hoster that link is shared. Pure; called by home-site.ts and site.ts.
 */
import { HttpProblem, type RequestHead } from "../exchange.ts";

/** RFC 1918, RFC 3927. Not RFC 6598: behind those addresses are a provider's other customers. */
const privateIpv4 = /^(10|192\.168|172\.(1[6-9]|2\d|3[01])|169\.254)(\.\d{1,3}){2,3}$/;
/** RFC 4193, RFC 4291 §2.5.6. */
const privateIpv6 = /^(f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]*(%\w+)?$/;

/** systemd-resolved counts up where there are two of that name (RFC 6762 §9). */
const homeName = /^homing\d{0,3}\.local$/;

export function isFromHome({ client, host, isSecure }: RequestHead): boolean {
  if (isSecure || !(isPrivate(client) || client.startsWith("127."))) return false;
  return isHomeHost(host);
}

/** Whether the name or address means this relay within its own network alone, and another machine elsewhere. */
export function isHomeHost(host: string): boolean {
  return homeName.test(host) || isPrivate(host.replace(/^\[(.*)\]$/, "$1"));
}

/**
 * What others get there than those at home. Never a way to the relay's pages: a browser that keeps it would not show the
 * page at home again.
 */
export function notFromHome(domain: string, { client }: RequestHead): HttpProblem {
  const reason =
    `this page is shown within the relay's own network, and ${client || "your address"} may be anywhere; ` +
    "at home, open http:// with the IPv4 address that the relay's screen shows; " +
    `the relay's public pages are at https://${domain}/`;
  return new HttpProblem(403, reason, { "cache-control": "no-store" });
}

/**
 * Whether a page of this very host sent the form: browsers name the origin of every POST, and no page can name another's
 * (RFC 6454 §7.3).
 */
export function isFromOwnPage({ host, headers }: RequestHead): boolean {
  const origin = headers.get("origin");
  return headers.all("origin").length === 1 && URL.canParse(origin!) && new URL(origin!).hostname === host;
}

function isPrivate(address: string): boolean {
  return privateIpv4.test(address) || privateIpv6.test(address);
}
