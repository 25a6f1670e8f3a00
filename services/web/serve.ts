/**
 * From a request to its answer, whatever version of HTTP it came by: finds the route, bounds the body, turns what goes
 * wrong into an answer that tells a stranger nothing. Called by http1.ts and http2.ts.
 */
import type { Readable } from "node:stream";
import type { Log } from "../lib/log.ts";
import { announcedLength, boundedBody, tooLarge, usualPace } from "./body.ts";
import { type Answer, HttpProblem, type RequestHead } from "./exchange.ts";
import type { WebLimits } from "./limits.ts";
import type { TurnedAway } from "./places.ts";
import type { Match } from "./router.ts";

/** A web site: what answers a request, and what an error looks like. */
export type Site = Readonly<{
  /** Throws HttpProblem when nothing does. */
  find(head: RequestHead): Match;
  /** The page for an error. `head` is undefined when the request could not be read. */
  problem(head: RequestHead | undefined, problem: HttpProblem): Answer;
  /** What every answer gets, an error as well. */
  finish(head: RequestHead | undefined, answer: Answer): Answer;
}>;

export type ServeOptions = Readonly<{
  site: Site;
  limits: WebLimits;
  log: Log;
  /** Who wants to count, gets told. */
  count?: WebCount;
}>;

export type WebCount = Readonly<{
  answered(status: number): void;
  turnedAway(reason: TurnedAway): void;
}>;

/** Answers one request. `onBody` is called when the handler is about to get a body: time for "100 Continue". Never rejects. */
export async function serve(
  readHead: () => RequestHead,
  source: Readable,
  options: ServeOptions,
  onBody: () => void = () => {},
): Promise<Answer> {
  const answer = await findAnswer(readHead, source, options, onBody);
  options.count?.answered(answer.status);
  return answer;
}

async function findAnswer(
  readHead: () => RequestHead,
  source: Readable,
  { site, limits, log }: ServeOptions,
  onBody: () => void,
): Promise<Answer> {
  let head: RequestHead | undefined;
  try {
    head = readHead();
    const { handler, parameter, maxBodyBytes, pace } = site.find(head);
    if ((announcedLength(head.headers.get("content-length")) ?? 0) > maxBodyBytes)
      throw tooLarge(maxBodyBytes);
    if (maxBodyBytes > 0) onBody();
    const body = boundedBody(source, maxBodyBytes, limits, () => (pace ?? usualPace)(limits));
    return site.finish(head, await handler({ ...head, parameter, body }));
  } catch (cause) {
    if (cause instanceof HttpProblem) return site.finish(head, site.problem(head, cause));
    // A client that went away in the middle of its body: nobody hears the answer.
    if (source.destroyed) log.debug("a request broke off", { path: head?.path });
    else log.error("a request failed", { path: head?.path }, cause);
    return site.finish(head, site.problem(head, new HttpProblem(500, "something went wrong here")));
  }
}

/** Fields as pairs of name and value in one list, as Node gives them for both versions of HTTP. */
export function headersOf(raw: readonly string[]): RequestHead["headers"] {
  const fields = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const present = fields.get(name);
    if (present === undefined) fields.set(name, [raw[i + 1]!]);
    else present.push(raw[i + 1]!);
  }
  return { get: (name) => fields.get(name)?.[0], all: (name) => fields.get(name) ?? [] };
}
