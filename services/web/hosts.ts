/**
 * The names under which the web service is reached, and what each is for; what belongs on another name or on TLS is
 * sent there. Called by site.ts; pure.
 */
import { HttpProblem, type RequestHead } from "./exchange.ts";

/** The names of a relay: its own, `www.` and `mta-sts.` (RFC 8461 §3.3). */
export type HostKind = "relay" | "www" | "mta-sts";

/** Any other name, an address as well, counts as the relay's own: so a trial on this computer shows its pages. */
export function hostKind(domain: string, host: string): HostKind {
  const kinds = ["www", "mta-sts"] as const;
  return kinds.find((kind) => host === `${kind}.${domain}`) ?? "relay";
}

/** The same page elsewhere. POST stays POST (RFC 9110 §15.4.9). */
export function movedTo(host: string, { method, path, query }: RequestHead): HttpProblem {
  const queryText = query.size > 0 ? `?${query}` : "";
  // Each segment is encoded again: nothing a client wrote gets into a field as it is.
  const location = `https://${host}${path.split("/").map(encodeURIComponent).join("/")}${queryText}`;
  return new HttpProblem(method === "GET" ? 301 : 308, `this page is at ${location}`, { location });
}
