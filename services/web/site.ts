/**
 * The relay's web site: all routes, which name and which port they are for, and the fields that every answer has.
 * Called by service.ts. New routes (sign-up, delivery) are tables that service.ts adds to `relay`.
 */
import { isTestDomain } from "../../appliance/domain.ts";
import { type Answer, HttpProblem, type RequestHead, textAnswer } from "./exchange.ts";
import { isHomeHost, notFromHome } from "./home/from-home.ts";
import type { HomeSite } from "./home/home-site.ts";
import { hostKind, movedTo } from "./hosts.ts";
import { findRoute, type Route, type Routes, routeTable } from "./router.ts";
import type { Site } from "./serve.ts";

/** A year, in seconds: shorter ones are called too short by those who check (RFC 6797 §6.1.1). */
const hstsSeconds = 31_536_000;

/**
 * Everything comes from the relay itself, and nothing that stands inside a page is run (CSP level 3): an operator's
 * pages may hold any HTML.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "worker-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "media-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

export type SiteParts = Readonly<{
  domain: string;
  /** On any name, also without TLS. */
  everywhere: Routes;
  /** At mta-sts.DOMAIN. */
  mtaSts: Routes;
  /** At the domain itself, over TLS. */
  relay: readonly Routes[];
  /** There too, except where one of `relay` answers: an operator's page never takes the place of a program. */
  pages: Routes;
  /** For those in the relay's own network, without TLS. */
  home?: HomeSite;
  /** A page for an error, in the reader's language. */
  problemPage?: (head: RequestHead, problem: HttpProblem) => Answer;
}>;

export function createSite(parts: SiteParts): Site {
  const { domain } = parts;
  const everywhere = routeTable([parts.everywhere]);
  const relay = new Map([...routeTable([parts.pages]), ...routeTable(parts.relay)]);
  // A trial on this computer shows the relay's pages at whatever name or address it has.
  const tables = { relay, other: relay, "mta-sts": routeTable([parts.mtaSts]) };
  const require = (routes: ReadonlyMap<string, Route>, head: RequestHead) => {
    const match = findRoute(routes, head);
    if (match === undefined) throw new HttpProblem(404, "there is nothing at this address");
    return match;
  };
  return {
    find: (head) => {
      const common = findRoute(everywhere, head);
      if (common !== undefined) return common;
      if (parts.home?.isFor(head) === true) return require(parts.home.routes, head);
      const kind = hostKind(domain, head.host);
      if (!head.isSecure) {
        if (isHomeHost(head.host)) throw notFromHome(domain, head);
        throw movedTo(kind === "mta-sts" ? head.host : domain, head, kind === "other" ? "now" : "ever");
      }
      if (kind === "www") throw movedTo(domain, head);
      return require(tables[kind], head);
    },
    problem: (head, problem) => {
      // Without style and links that lead somewhere, which are behind TLS or at home, a page is worse than its one line.
      const hasSite = head?.isSecure || (head !== undefined && parts.home?.isFor(head) === true);
      const answer =
        hasSite && parts.problemPage !== undefined && problem.status !== 500
          ? parts.problemPage(head, problem)
          : textAnswer(problem.status, `${problem.message}\n`);
      return { ...answer, headers: { ...answer.headers, ...problem.headers } };
    },
    finish: (head, answer) => ({
      ...answer,
      headers: {
        ...(head?.isSecure && !isTestDomain(domain)
          ? { "strict-transport-security": `max-age=${hstsSeconds}` }
          : {}),
        "content-security-policy": contentSecurityPolicy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        ...answer.headers,
      },
    }),
  };
}
