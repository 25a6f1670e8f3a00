/**
 * The table of routes: which handler answers a path. A path is given whole, or with "*" as its last segment, which
 * stands for exactly one. Nothing here, nor behind it, makes a file name of a path. Called by site.ts.
 */
import type { BodyPace } from "./body.ts";
import { type Handler, HttpProblem, type RequestHead } from "./exchange.ts";
import type { WebLimits } from "./limits.ts";

/** What a path answers, by method. */
export type Route = Readonly<{
  GET?: Handler;
  POST?: Handler;
  /** Of a body; without it none is taken. In bytes. */
  maxBodyBytes?: number;
  /** Of a body; the usual one unless given. */
  pace?: (limits: WebLimits) => BodyPace;
}>;

/** Routes by path: "/new", "/i/*". */
export type Routes = Readonly<Record<string, Route>>;

/** A handler that was found, with what it needs. */
export type Match = Readonly<{
  handler: Handler;
  parameter: string;
  maxBodyBytes: number;
  pace?: Route["pace"];
}>;

/**
 * What answers the request; undefined when there is no such path.
 * @throws HttpProblem 405 for a method that the path does not know (RFC 9110 §15.5.6).
 */
export function findRoute(
  routes: ReadonlyMap<string, Route>,
  { method, path }: RequestHead,
): Match | undefined {
  const [route, parameter] = routeOf(routes, path);
  if (route === undefined) return undefined;
  const handler = method === "GET" || method === "POST" ? route[method] : undefined;
  if (handler === undefined) {
    const allowed = [...(route.GET ? ["GET", "HEAD"] : []), ...(route.POST ? ["POST"] : [])];
    throw new HttpProblem(405, `only ${allowed.join(" and ")} can be used here`, {
      allow: allowed.join(", "),
    });
  }
  const maxBodyBytes = method === "POST" ? (route.maxBodyBytes ?? 0) : 0;
  return { handler, parameter, maxBodyBytes, pace: route.pace };
}

function routeOf(routes: ReadonlyMap<string, Route>, path: string): readonly [Route | undefined, string] {
  const whole = routes.get(path);
  if (whole !== undefined) return [whole, ""];
  const slash = path.lastIndexOf("/");
  const parameter = path.slice(slash + 1);
  return [parameter === "" ? undefined : routes.get(`${path.slice(0, slash)}/*`), parameter];
}

/** The table as a map: names like "constructor" find nothing. Throws Error when two tables have the same path. */
export function routeTable(tables: readonly Routes[]): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  for (const [path, route] of tables.flatMap((table) => Object.entries(table))) {
    if (routes.has(path)) throw new Error(`two routes for ${path}`);
    routes.set(path, route);
  }
  return routes;
}
