/**
 * Fetches bytes over HTTP with a limit on silence and another try after a broken connection. Called by
 * image/packages/{release,download}.ts; `fetch` is a parameter so that tests can stand in between.
 */

export type Fetch = typeof globalThis.fetch;

/** A server that sends nothing for this long is given up, in milliseconds. */
const SILENCE_MILLISECONDS = 30_000;
/** Connections break; three in a row are no accident. */
const MAX_TRIES = 3;

/** An HTTP request failed: `status` is the answer's, or undefined when there was no whole answer. */
export class HttpError extends Error {
  override name = "HttpError";
  readonly status: number | undefined;
  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export type HttpOptions = Readonly<{
  fetch?: Fetch;
  signal?: AbortSignal | undefined;
  /** A longer answer than this is cut off with an error, in bytes. */
  maxBytes: number;
  /** Told with the bytes received so far; starts again from 0 when a broken connection is tried anew. */
  onBytes?: (received: number) => void;
  silenceMilliseconds?: number;
}>;

/**
 * The body of the answer to GET `url`. Broken connections, silence and 5xx answers are tried again.
 * Throws HttpError, or the signal's reason when that is aborted.
 */
export async function httpGet(url: string, options: HttpOptions): Promise<Buffer> {
  for (let tried = 1; ; tried++) {
    try {
      return await getOnce(url, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      const again = error instanceof HttpError && (error.status === undefined || error.status >= 500);
      if (!again || tried >= MAX_TRIES) throw error;
    }
  }
}

async function getOnce(url: string, options: HttpOptions): Promise<Buffer> {
  const { fetch = globalThis.fetch, signal, maxBytes, onBytes } = options;
  const silence = new AbortController();
  const limit = options.silenceMilliseconds ?? SILENCE_MILLISECONDS;
  const timer = setTimeout(() => silence.abort(new Error(`nothing came for ${limit / 1000} seconds`)), limit);
  const chunks: Uint8Array[] = [];
  let received = 0;
  let response: Response | undefined;
  try {
    response = await fetch(url, { signal: AbortSignal.any([silence.signal, ...(signal ? [signal] : [])]) });
    if (!response.ok) throw new HttpError(`${url} answered ${response.status}`, response.status);
    for await (const chunk of response.body ?? []) {
      timer.refresh();
      received += chunk.length;
      if (received > maxBytes)
        throw new HttpError(`${url} is longer than the expected ${maxBytes} bytes`, 200);
      chunks.push(chunk);
      onBytes?.(received);
    }
    return Buffer.concat(chunks, received);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    const what = response ? `the connection broke after ${received} bytes` : "no connection";
    throw new HttpError(`${url}: ${what} (${reason(error)})`, undefined, { cause: error });
  } finally {
    clearTimeout(timer);
    await response?.body?.cancel().catch(() => undefined); // gives the connection back; it may be gone already
  }
}

/** fetch says only "fetch failed" or "terminated"; the cause below it says why. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? reason(error.cause) : error.message || error.name;
}
