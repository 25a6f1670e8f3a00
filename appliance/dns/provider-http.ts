/**
 * The one HTTP client of all providers in providers/: JSON there and back, with a time limit, a size limit, waiting when
 * the provider says so (RFC 6585 §4, RFC 9110 §10.2.3), and errors in words that never hold a secret. I/O.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { ZodType } from "zod";
import {
  type ConnectOptions,
  DnsProviderError,
  type DnsProviderProblem,
  type ProviderClock,
} from "./provider.ts";

export type ProviderHttpOptions = Readonly<{
  /** "Cloudflare", for messages. */
  provider: string;
  /** Without a slash at the end. */
  baseUrl: string;
  /** Of every request; the place for the token. A function is asked anew for each. */
  headers?: Headers | ((request: SentRequest) => Headers | Promise<Headers>);
  /** What must never be in a message. */
  secrets: readonly string[];
  /** The least time between two requests. In milliseconds. */
  paceMs?: number;
  /** What the provider says went wrong; undefined when the body has no such words. */
  reasonOf(body: unknown): string | undefined;
  /** Words after the reason: what the owner can do about this status. */
  mends?: Readonly<Record<number, string>>;
  /** What the answer means, where the status alone does not say it. */
  problemOf?(status: number, body: unknown): DnsProviderProblem | undefined;
  /** Statuses by which this provider says "too many requests" besides 429. */
  busyStatuses?: readonly number[];
  connect: ConnectOptions;
}>;

type Headers = Readonly<Record<string, string>>;

/** What is about to be sent; for signatures. */
export type SentRequest = Readonly<{ method: string; url: string; body: string }>;

export type ProviderRequest = Readonly<{
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the base URL on, with the slash; a whole URL only below the base URL, as of a next page. */
  path: string;
  query?: Readonly<Record<string, string | number>>;
  /** Sent as JSON. */
  body?: unknown;
  /** For messages: "show the records of example.org". */
  what: string;
  /** Statuses beyond 2xx that are answers and no errors. */
  accept?: readonly number[];
  /** May be sent again when the answer got lost; unless said otherwise all but POST and PATCH. */
  repeatable?: boolean;
}>;

export type ProviderAnswer = Readonly<{
  status: number;
  headers: globalThis.Headers;
  /** The parsed JSON; undefined when there is no body, the text when it is no JSON. */
  body: unknown;
}>;

export type ProviderHttp = Readonly<{
  send(request: ProviderRequest): Promise<ProviderAnswer>;
  /** The body, which must have this form. */
  json<T>(request: ProviderRequest, form: ZodType<T>): Promise<T>;
  /** For errors inside of answers of status 200: a message without the secrets. */
  failure(what: string, reason: string, problem?: DnsProviderProblem): DnsProviderError;
}>;

/** From the connection to the whole answer. In milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;
/** A zone of 10,000 records has about 4 MB as JSON. In bytes. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** How often one request is sent at most. */
const MAX_TRIES = 4;
/** Nobody waits longer in front of a screen; limits by the day or the hour are told instead. In milliseconds. */
const MAX_WAIT_MS = 70_000;
/** Between tries when the provider names no time; doubled each time. In milliseconds. */
const FIRST_WAIT_MS = 1000;
/** Of the provider's own words in a message. In characters. */
const MAX_REASON_LENGTH = 300;

export const realClock: ProviderClock = {
  now: Date.now,
  wait: async (milliseconds, signal) => {
    await delay(milliseconds, undefined, signal === undefined ? {} : { signal });
  },
};

export function providerHttp(options: ProviderHttpOptions): ProviderHttp {
  const { clock = realClock, signal } = options.connect;
  let mayStart = 0;
  const pace = async () => {
    const now = clock.now();
    const start = Math.max(now, mayStart);
    mayStart = start + (options.paceMs ?? 0);
    if (start > now) await clock.wait(start - now, signal);
  };
  const failure = (what: string, reason: string, problem: DnsProviderProblem = "refused") =>
    new DnsProviderError(`${options.provider} did not ${what}: ${clean(reason, options.secrets)}`, problem);
  const sendUntilAnswered = async (request: ProviderRequest) => {
    const { method, what } = request;
    const isRepeatable = request.repeatable ?? (method !== "POST" && method !== "PATCH");
    for (let tries = 1; ; tries++) {
      await pace();
      const answer = await send(options, request).catch((error: unknown) => {
        if (signal?.aborted) throw error;
        if (!(error instanceof DnsProviderError) || !isRepeatable || tries === MAX_TRIES) throw error;
        return undefined;
      });
      if (answer !== undefined) {
        const { status } = answer;
        if ((status >= 200 && status < 300) || request.accept?.includes(status)) return answer;
        const isBusy = status === 429 || options.busyStatuses?.includes(status) === true;
        const canHelp = isBusy || (isRepeatable && status >= 500);
        const wait = waitBefore(answer, tries, clock.now());
        if (!canHelp || tries === MAX_TRIES || wait > MAX_WAIT_MS) {
          throw statusFailure(options, what, answer, isBusy ? Math.ceil(wait / 1000) : undefined);
        }
        // It holds for all requests that are on their way.
        if (isBusy) mayStart = Math.max(mayStart, clock.now() + wait);
        else await clock.wait(wait, signal);
        continue;
      }
      await clock.wait(FIRST_WAIT_MS * 2 ** (tries - 1), signal);
    }
  };
  return {
    send: sendUntilAnswered,
    json: async (request, form) => {
      const { body } = await sendUntilAnswered(request);
      const parsed = form.safeParse(body);
      if (parsed.success) return parsed.data;
      // What came may hold anything; where it is wrong is enough to find out.
      const [issue] = parsed.error.issues;
      const reason = `its answer has another form than expected (${issue?.path.join(".") || "as a whole"})`;
      throw failure(request.what, reason, "unreachable");
    },
    failure,
  };
}

async function send(options: ProviderHttpOptions, request: ProviderRequest): Promise<ProviderAnswer> {
  const { provider, connect, headers = {} } = options;
  const url = urlOf(options.baseUrl, request);
  const { method } = request;
  const body = request.body === undefined ? "" : JSON.stringify(request.body);
  const own = typeof headers === "function" ? await headers({ method, url, body }) : headers;
  const timeoutMs = connect.timeoutMs ?? ANSWER_TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await (connect.fetch ?? fetch)(url, {
      method,
      // Elsewhere the token has no business.
      redirect: "error",
      signal: connect.signal === undefined ? timeout : AbortSignal.any([connect.signal, timeout]),
      headers: {
        accept: "application/json",
        "user-agent": "Homing",
        ...(body === "" ? {} : { "content-type": "application/json" }),
        ...own,
      },
      ...(body === "" ? {} : { body }),
    });
    const text = await readText(response, provider);
    return { status: response.status, headers: response.headers, body: parseBody(text) };
  } catch (error) {
    if (connect.signal?.aborted || error instanceof DnsProviderError) throw error;
    const reason = timeout.aborted ? `no answer within ${timeoutMs / 1000} seconds` : causeOf(error);
    throw new DnsProviderError(
      `${provider} did not ${request.what}: ${new URL(url).host} cannot be reached: ${clean(reason, options.secrets)}`,
      "unreachable",
    );
  }
}

function urlOf(baseUrl: string, { path, query = {} }: ProviderRequest): string {
  const url = new URL(path.startsWith("/") ? baseUrl + path : path);
  // Links to next pages come from outside, and the token goes along.
  if (url.origin !== new URL(baseUrl).origin) {
    throw new DnsProviderError(`${new URL(baseUrl).host} leads to another host: ${url.host}`, "unreachable");
  }
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
  return url.href;
}

async function readText(response: Response, provider: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) {
      throw new DnsProviderError(`${provider} sent an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parseBody(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** What `Retry-After` says (seconds or a date), or a time that grows with each try. In milliseconds. */
function waitBefore({ headers }: ProviderAnswer, tries: number, now: number): number {
  const text = headers.get("retry-after")?.trim() ?? "";
  const waits = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(waits) ? FIRST_WAIT_MS * 2 ** (tries - 1) : Math.max(waits, 0);
}

function statusFailure(
  options: ProviderHttpOptions,
  what: string,
  { status, body }: ProviderAnswer,
  busySeconds: number | undefined,
): DnsProviderError {
  const said = options.reasonOf(body);
  const reason = said === undefined ? `HTTP status ${status}` : clean(said, options.secrets);
  const words = `${options.provider} did not ${what}: ${reason}`;
  if (busySeconds !== undefined) {
    return new DnsProviderError(`${words}: too many requests; try again in ${inWords(busySeconds)}`, "busy");
  }
  const mend = options.mends?.[status];
  const problem = options.problemOf?.(status, body) ?? problemOf(status);
  return new DnsProviderError(mend === undefined ? words : `${words}: ${mend}`, problem);
}

function problemOf(status: number): DnsProviderProblem {
  if (status === 401 || status === 403) return "credentials";
  if (status === 404) return "missing";
  return status >= 500 ? "unreachable" : "refused";
}

function inWords(seconds: number): string {
  if (seconds < 120) return `${Math.max(seconds, 1)} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} minutes` : `${Math.ceil(seconds / 3600)} hours`;
}

/** One short line of printable characters, without the secrets. */
function clean(text: string, secrets: readonly string[]): string {
  let line = text;
  for (const secret of secrets) if (secret !== "") line = line.replaceAll(secret, "***");
  line = line.replaceAll(/[\p{C}\s]+/gu, " ").trim();
  return line.length > MAX_REASON_LENGTH ? `${line.slice(0, MAX_REASON_LENGTH)}…` : line;
}

/** The words of undici hide the reason in the cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof AggregateError) return causeOf(cause.errors[0]);
  return cause instanceof Error ? cause.message : error.message;
}
