/**
 * Asks HTTP servers with limits on silence, and asks again where that may help. Called by
 * image/packages/{release,download-file}.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import { createHttpClient, type HttpAnswer, type HttpClient } from "./http-client.ts";
import { withoutLogin } from "./proxy.ts";

/** A server that sends less than MIN_BYTES in this time is given up, in milliseconds. */
const SILENCE_MILLISECONDS = 30_000;
/** Some 100 bytes a second: less than the slowest line that anybody builds an image over. */
const MIN_BYTES = 3000;
/** Connections break; this many in a row that brought next to nothing are no accident. */
const MAX_TRIES = 4;
/** Nobody there, or no network: the second try is for a Wi-Fi that is just waking up. */
const MAX_UNREACHABLE_TRIES = 2;
/** A try that brought this much does not count as failed: long downloads over bad lines go on; in bytes. */
const WORTHWHILE_BYTES = 256 << 10;
/** Before the second try, doubled before each further one, in milliseconds. */
const FIRST_PAUSE = 500;
/** A server that wants to be left alone for longer (Retry-After) is given up, in milliseconds. */
const MAX_PAUSE = 60_000;

/**
 * - unreachable: no connection to the server came about.
 * - broken: the connection broke or fell silent.
 * - status: the answer has another status than 200 or 206.
 * - wrong: the answer is not what was asked for, and would not be the next time.
 */
export type HttpErrorKind = "unreachable" | "broken" | "status" | "wrong";

/** An HTTP request failed. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly kind: HttpErrorKind;
  readonly status: number | undefined;
  /** What the server demands (RFC 9110 §10.2.3), in milliseconds. */
  readonly retryAfter: number | undefined;
  /** Bytes of the body that came before the failure. */
  brought = 0;
  constructor(
    message: string,
    kind: HttpErrorKind,
    options: ErrorOptions & { status?: number; retryAfter?: number | undefined } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.status = options.status;
    this.retryAfter = options.retryAfter;
  }
}

/** What requests need from outside; each has its usual value unless given. */
export type Network = Readonly<{
  client?: HttpClient;
  silenceMilliseconds?: number;
  /** Waits before a further try; rejects when the signal is aborted. */
  wait?: (milliseconds: number, signal: AbortSignal | undefined) => Promise<unknown>;
}>;

export type HttpOptions = Readonly<{ network?: Network | undefined; signal?: AbortSignal | undefined }>;

let usualClient: HttpClient | undefined;

const usualWait = (milliseconds: number, signal: AbortSignal | undefined) =>
  delay(milliseconds, undefined, signal ? { signal } : {});

/**
 * The body of the answer to GET `url`, at most `maxBytes` long; asks again where that may help.
 * Throws HttpError, or the signal's reason when that is aborted.
 */
export function httpGet(
  url: string,
  { maxBytes, ...options }: HttpOptions & { maxBytes: number },
): Promise<Buffer> {
  return withTries(options, async () => {
    const pieces: Uint8Array[] = [];
    let received = 0;
    await httpRequest(url, options, {}, ({ status }) => {
      if (status !== 200) throw statusError(url, status);
      return (piece) => {
        received += piece.length;
        if (received > maxBytes) throw new HttpError(longerText(url, maxBytes), "wrong");
        pieces.push(piece);
      };
    });
    return Buffer.concat(pieces, received);
  });
}

/**
 * One GET request. `receive` judges the answer's head and returns what takes the pieces of the body; what it throws
 * is thrown as it is, other failures as HttpError. Answers with an error's status are thrown before.
 */
export async function httpRequest(
  url: string,
  { network = {}, signal }: HttpOptions,
  headers: Readonly<Record<string, string>>,
  receive: (
    answer: HttpAnswer,
  ) => Promise<(piece: Uint8Array) => Promise<void> | void> | ((piece: Uint8Array) => Promise<void> | void),
): Promise<void> {
  usualClient ??= network.client ? undefined : createHttpClient();
  const client = network.client ?? usualClient!;
  const limit = network.silenceMilliseconds ?? SILENCE_MILLISECONDS;
  const silence = new AbortController();
  let lately = 0;
  const timer = setTimeout(() => {
    const what = lately === 0 ? "nothing came" : `only ${lately} bytes came`;
    silence.abort(new Error(`${what} for ${limit / 1000} seconds`));
  }, limit);
  const signals = signal ? [silence.signal, signal] : [silence.signal];
  let answer: HttpAnswer | undefined;
  let receiver: { failed: unknown } | undefined;
  const byReceiver = (error: unknown): never => {
    receiver = { failed: error };
    throw error;
  };
  let brought = 0;
  try {
    // A compressed transfer could not be continued at a place of the file itself.
    const sent = { "Accept-Encoding": "identity", "User-Agent": "homing", ...headers };
    answer = await client(url, { headers: sent, signal: AbortSignal.any(signals) });
    const head = answer;
    const { status } = head;
    if (status >= 400 && status !== 416) {
      throw statusError(url, status, retryAfter(answer.headers["retry-after"]));
    }
    const take = await run(() => receive(head)).catch(byReceiver);
    for await (const piece of answer.body) {
      brought += piece.length;
      lately += piece.length;
      if (lately >= MIN_BYTES) {
        lately = 0;
        timer.refresh();
      }
      await run(() => take(piece)).catch(byReceiver);
    }
  } catch (error) {
    signal?.throwIfAborted();
    const failure = receiver ? receiver.failed : error instanceof HttpError ? error : networkError(error);
    if (failure instanceof HttpError) failure.brought = brought;
    throw failure;
  } finally {
    clearTimeout(timer);
    answer?.body.destroy();
  }

  function networkError(error: unknown): HttpError {
    const why = reason(silence.signal.aborted ? silence.signal.reason : error);
    if (answer) {
      return new HttpError(
        `${withoutLogin(url)}: the connection broke after ${brought} bytes (${why})`,
        "broken",
        {
          cause: error,
        },
      );
    }
    const kind = isUnreachable(error) ? "unreachable" : "broken";
    const what = kind === "unreachable" ? "no connection" : "no answer";
    return new HttpError(`${withoutLogin(url)}: ${what} (${why})`, kind, { cause: error });
  }
}

/** What is thrown at once is a rejection as well. */
async function run<Result>(work: () => Promise<Result> | Result): Promise<Result> {
  return await work();
}

/** Asks until an answer comes that is final, with growing pauses. Throws the last HttpError. */
export async function withTries<Result>(
  { network, signal }: HttpOptions,
  ask: () => Promise<Result>,
): Promise<Result> {
  const wait = network?.wait ?? usualWait;
  for (let failures = 0; ; ) {
    try {
      return await ask();
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof HttpError)) throw error;
      failures = error.brought >= WORTHWHILE_BYTES ? 1 : failures + 1;
      const pause = pauseBefore(error, failures);
      if (pause === undefined) throw error;
      await wait(pause, signal).catch((reason: unknown) => {
        signal?.throwIfAborted();
        throw reason;
      });
    }
  }
}

/** In milliseconds; undefined when asking again would not help. */
function pauseBefore({ kind, status = 0, retryAfter }: HttpError, failures: number): number | undefined {
  const tries = kind === "unreachable" ? MAX_UNREACHABLE_TRIES : MAX_TRIES;
  // Too slow a request, too many requests, a server that is overloaded or being mended: RFC 9110 §15, RFC 6585 §4.
  const mayPass = kind !== "status" || status >= 500 || status === 408 || status === 429;
  if (kind === "wrong" || !mayPass || failures >= tries) return undefined;
  const pause = Math.max(FIRST_PAUSE * 2 ** (failures - 1), retryAfter ?? 0);
  return pause > MAX_PAUSE ? undefined : pause;
}

export function statusError(url: string, status: number, retryAfter?: number): HttpError {
  const later =
    retryAfter === undefined ? "" : ` and wants to be left alone for ${retryAfter / 1000} seconds`;
  return new HttpError(`${withoutLogin(url)} answered ${status}${later}`, "status", { status, retryAfter });
}

export function longerText(url: string, bytes: number): string {
  return `${withoutLogin(url)} is longer than the expected ${bytes} bytes`;
}

/** Retry-After holds seconds or a date (RFC 9110 §10.2.3); in milliseconds, undefined for anything else. */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** Errors of name look-up, connecting, the proxy's tunnel and TLS. */
function isUnreachable(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const codes =
    /^(ENOTFOUND|EAI_\w+|ECONNREFUSED|E(NET|HOST)(UNREACH|DOWN)|EADDRNOTAVAIL|ETIMEDOUT|EPROTO|ERR_PROXY_\w+|ERR_SSL_\w+|ERR_TLS_\w+)$/;
  return codes.test(code) || /CERT|UNABLE_TO/.test(code);
}

/** The innermost cause says why; of several addresses that were tried, the first. */
function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reason(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reason(error.cause) : error.message || error.name;
}
