/**
 * The ways on which Postfix takes mail to other domains, as transport_maps says them (transport(5)): named in
 * files/postfix-main.ts and files/postfix-master.ts, chosen by services/auth, remembered by services/transport.
 */
import {
  transportFirstAgainListen,
  transportFirstListen,
  transportKnownAgainListen,
  transportKnownListen,
} from "./layout.ts";

/** Services of master.cf: for domains that take mail by HTTPS, and for those of which nothing is known. */
export const knownByHttps = "outgoing";
export const firstTime = "outgoing-first";
/** SMTP and nothing else. */
export const neverByHttps = "relay";

/** What is known of a domain: it took mail by HTTPS, or does not and took it by SMTP. */
export type KnownWay = "https" | "smtp";

/** `[127.0.0.1]:10026`, as Postfix writes a host that has no MX. */
export function nextHop({ host, port }: Readonly<{ host: string; port: number }>): string {
  return `[${host}]:${port}`;
}

/**
 * The answer of transport_maps. services/transport stands there twice, since one answer of SMTP is for all recipients of
 * a message: those who are refused hear it the second time, and which time it is, the port says. Behind it stands the domain
 * itself, for SMTP. Where HTTPS is known to work services/transport lets few messages go on to it (its
 * smtp-after-https.ts); Postfix hands over together, and limits together, what has the same way.
 * @param domain a name or an address literal in plain characters.
 */
export function routeOf(domain: string, known: KnownWay | undefined): string {
  if (known === "smtp") return "smtp:";
  const [transport, listen, again] =
    known === "https"
      ? [knownByHttps, transportKnownListen, transportKnownAgainListen]
      : [firstTime, transportFirstListen, transportFirstAgainListen];
  return `${transport}:${nextHop(listen)},${nextHop(again)},${domain}`;
}

/** RFC 5321 §4.1.2, Dot-string: what stands in SMTP without quotes. services/transport takes no more (smtp-server: 501). */
export const plainLocalPart = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;

/** RFC 5321 §4.1.2 and §4.1.3, and the names of tests, which begin with `_`: nothing that means more to Postfix. */
export const plainDomain = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[A-Za-z0-9.:]+\])$/;

/** The file of services/transport: a line for each domain of which something is known. */
export function renderKnownWays(ways: ReadonlyMap<string, KnownWay>): string {
  return [...ways].map(([domain, way]) => `${domain} ${way}\n`).join("");
}

/** Takes nothing but what renderKnownWays writes; other lines are passed over. */
export function parseKnownWays(text: string): Map<string, KnownWay> {
  const ways = new Map<string, KnownWay>();
  for (const line of text.split("\n")) {
    const [domain = "", way] = line.split(" ");
    if ((way === "https" || way === "smtp") && plainDomain.test(domain)) ways.set(domain, way);
  }
  return ways;
}
