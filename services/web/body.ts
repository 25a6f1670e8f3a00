/**
 * The body of a request, bounded in size and in time. Called by serve.ts for both versions of HTTP.
 */
import type { Readable } from "node:stream";
import { HttpProblem } from "./exchange.ts";
import type { WebLimits } from "./limits.ts";

/** Far more than any real length: what is longer is refused unread. */
const maxLengthDigits = 12;

/** The length a client announces; null when it does not say. Throws HttpProblem 400 for what is no length. */
export function announcedLength(value: string | undefined): number | null {
  if (value === undefined) return null;
  if (!/^\d+$/.test(value)) throw new HttpProblem(400, "the length of the body cannot be read");
  return value.length > maxLengthDigits ? Number.POSITIVE_INFINITY : Number(value);
}

export function tooLarge(maxBytes: number): HttpProblem {
  if (maxBytes === 0) return new HttpProblem(413, "no body is taken here");
  return new HttpProblem(413, `the body is larger than ${maxBytes} bytes`);
}

/** How fast a body has to come. */
export type BodyPace = Readonly<{
  /** It may pause so long at its beginning, in milliseconds, */
  graceMs: number;
  /** and must then come at this speed in the mean, */
  bytesPerSecond: number;
  /** and be whole after so many milliseconds. */
  wholeMs: number;
}>;

/** What is asked of anybody. */
export function usualPace({ bodyGraceMs, bodyBytesPerSecond, bodyMs }: WebLimits): BodyPace {
  return { graceMs: bodyGraceMs, bytesPerSecond: bodyBytesPerSecond, wholeMs: bodyMs };
}

/**
 * The bytes of `source` as they come. Throws HttpProblem 413 beyond `maxBytes`, and 408 when they come too slowly. `pace`
 * is asked again and again, for it may change with the number of those who send.
 */
export async function* boundedBody(
  source: Readable,
  maxBytes: number,
  limits: WebLimits,
  pace: () => BodyPace,
): AsyncGenerator<Buffer> {
  let length = 0;
  // Only waiting for the client counts: a handler may take its time with what has come.
  let waitedMs = 0;
  let waitsSince: number | null = null;
  let isSlow = false;
  const watch = setInterval(() => {
    if (waitsSince === null) return;
    const waited = waitedMs + performance.now() - waitsSince;
    const { graceMs, bytesPerSecond, wholeMs } = pace();
    if (waited < wholeMs && length >= ((waited - graceMs) / 1000) * bytesPerSecond) return;
    isSlow = true;
    source.destroy();
  }, limits.checkMs);
  // Whoever reads it may have stopped in the middle, and never comes to the end below.
  source.once("close", () => clearInterval(watch));
  // Not destroyed at the end: the answer goes the same way back.
  const pieces = source.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  try {
    for (;;) {
      waitsSince = performance.now();
      const next = await pieces.next();
      waitedMs += performance.now() - waitsSince;
      waitsSince = null;
      if (next.done) return;
      length += next.value.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      yield next.value;
    }
  } catch (error) {
    if (isSlow) throw new HttpProblem(408, "the body comes too slowly");
    throw error;
  } finally {
    clearInterval(watch);
    await pieces.return?.();
  }
}
