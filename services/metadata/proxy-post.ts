/**
 * Hands one token to the notification proxy: POST with the token as the body, and nothing else that tells anything
 * (RFC 9110 §9.3.3). The proxy wakes the phone by way of its maker. Called by notifier.ts. The other side may hang, drip,
 * or answer what it likes: all is bounded.
 */
import type { IncomingMessage } from "node:http";
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { createSecureContext } from "node:tls";

/** From the look-up of the name to the end of the answer. A phone that is woken later than this has slept well. */
const ATTEMPT_LIMIT_MS = 20_000;
/** What the body says is not needed; read is so much, so that the connection can be used again. */
const MAX_ANSWER_BYTES = 16_384;
const MAX_HEADER_BYTES = 8_192;
/** People write to each other again within this time; the proxy may close before. */
const KEEP_ALIVE_MS = 60_000;

export type ProxyAnswer = Readonly<{
  status: number;
  /** Seconds after which the proxy wants to be asked again (RFC 9110 §10.2.3), if it says so in seconds. */
  retryAfter: number | undefined;
}>;

export type ProxyPost = Readonly<{
  /** @throws Error of the network, of TLS or of HTTP, or when it took too long. */
  post: (token: string) => Promise<ProxyAnswer>;
  close: () => void;
}>;

/** @param roots certificates of authorities, PEM. */
export function createProxyPost(
  options: Readonly<{ url: string; roots: Buffer; attemptLimitMs?: number }>,
): ProxyPost {
  const { attemptLimitMs = ATTEMPT_LIMIT_MS } = options;
  const url = new URL(options.url);
  const isTls = url.protocol === "https:";
  const kept = { keepAlive: true, timeout: KEEP_ALIVE_MS, scheduling: "lifo" as const };
  const agent = isTls
    ? // The types do not know that the agent hands this to tls.connect() like the rest.
      new HttpsAgent({
        ...kept,
        ...{ secureContext: createSecureContext({ ca: options.roots, minVersion: "TLSv1.2" }) },
      })
    : new HttpAgent(kept);
  const request = isTls ? httpsRequest : httpRequest;

  const attempt = (token: string, mayRepeat: boolean): Promise<ProxyAnswer> => {
    const { promise, resolve, reject } = Promise.withResolvers<ProxyAnswer>();
    const outgoing = request(url, {
      agent,
      method: "POST",
      headers: { "Content-Length": token.length },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const limit = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${attemptLimitMs / 1000} s`)),
      attemptLimitMs,
    );
    outgoing.on("error", (cause: NodeJS.ErrnoException) => {
      // The proxy closed a kept connection in the moment in which it was used again: that says nothing of it.
      if (mayRepeat && outgoing.reusedSocket && cause.code === "ECONNRESET") resolve(attempt(token, false));
      else reject(cause);
    });
    outgoing.on("close", () => {
      clearTimeout(limit);
      reject(new Error("the connection ended"));
    });
    outgoing.on("response", (response) => {
      resolve(answerOf(response));
      // All is known; how the rest of the answer ends matters only for the connection.
      drop(response).catch(() => outgoing.destroy());
    });
    outgoing.end(token, "latin1");
    return promise;
  };

  return { post: (token) => attempt(token, true), close: () => agent.destroy() };
}

/** Reads the body to its end or as far as it may be long. */
async function drop(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_ANSWER_BYTES) return;
  }
}

function answerOf({ statusCode, headers }: IncomingMessage): ProxyAnswer {
  const seconds = /^\d{1,6}$/.exec(headers["retry-after"] ?? "")?.[0];
  return { status: statusCode ?? 0, retryAfter: seconds === undefined ? undefined : Number(seconds) };
}
