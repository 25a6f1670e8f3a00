/**
 * The names under which the web service is reached, and what each is for; what belongs on another name or on TLS is
 * sent there. Called by site.ts; pure.
 */
import { HttpProblem, type RequestHead } from "./exchange.ts";

/** The names of a relay: its own, `www.` and `mta-sts.` (RFC 8461 §3.3); "other" is any other name or address. */
export type HostKind = "relay" | "www" | "mta-sts" | "other";

export function hostKind(domain: string, host: string): HostKind {
  if (host === domain) return "relay";
  const kinds = ["www", "mta-sts"] as const;
  return kinds.find((kind) => host === `${kind}.${domain}`) ?? "other";
}

/**
 * The same page elsewhere. POST stays POST (RFC 9110 §15.4.9). Browsers keep for ever what is moved for good: "now" is for
 * names and addresses that may be another machine's tomorrow.
 */
export function movedTo(
  host: string,
  { method, path, query }: RequestHead,
  until: "ever" | "now" = "ever",
): HttpProblem {
  const queryText = query.size > 0 ? `?${query}` : "";
  // Each segment is encoded again: nothing a client wrote gets into a field as it is.
  const location = `https://${host}${path.split("/").map(encodeURIComponent).join("/")}${queryText}`;
  const reason = `this page is at ${location}`;
  if (until === "now") return new HttpProblem(307, reason, { location, "cache-control": "no-store" });
  return new HttpProblem(method === "GET" ? 301 : 308, reason, { location });
}
