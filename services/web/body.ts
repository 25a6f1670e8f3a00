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

/** The bytes of `source` as they come. Throws HttpProblem 413 beyond `maxBytes`, and 408 when they come too slowly. */
export async function* boundedBody(
  source: Readable,
  maxBytes: number,
  limits: WebLimits,
): AsyncGenerator<Buffer> {
  let length = 0;
  const began = performance.now();
  let isSlow = false;
  const watch = setInterval(() => {
    const seconds = Math.max(0, performance.now() - began - limits.bodyGraceMs) / 1000;
    // While the handler is busy the client may not send: what waits here counts as come.
    if (source.readableLength > 0 || length >= seconds * limits.bodyBytesPerSecond) return;
    isSlow = true;
    source.destroy();
  }, limits.checkMs);
  try {
    // Not destroyed at the end: the answer goes the same way back.
    for await (const piece of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      length += piece.length;
      if (length > maxBytes) throw tooLarge(maxBytes);
      yield piece;
    }
  } catch (error) {
    if (isSlow) throw new HttpProblem(408, "the body comes too slowly");
    throw error;
  } finally {
    clearInterval(watch);
  }
}
