/**
 * One request by HTTP to one address, with a limit of time and of bytes: for services that tell addresses and for routers.
 * Called by addresses.ts and upnp.ts. I/O: one connection, which leaves nothing behind.
 */
import { type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { NoAnswerError } from "../dns/exchange.ts";

export type HttpAnswer = Readonly<{ status: number; text: string; date: number | undefined }>;

export type HttpQuestion = Readonly<{
  url: URL;
  /** Where its host is. */
  address: string;
  headers: Readonly<Record<string, string>>;
  /** Posted; none: a GET. */
  body?: string;
  maxBytes: number;
  /** In milliseconds. */
  limit: number;
  /** Certificates to trust besides the usual ones. */
  authorities?: string | undefined;
}>;

/** Throws NoAnswerError. */
export function askHttp(
  { url, address, headers, body, maxBytes, limit, authorities }: HttpQuestion,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { protocol, port, pathname, search, host } = url;
  const name = url.hostname.replace(/^\[|\]$/g, "");
  const options: RequestOptions & { servername: string; ca?: string[] } = {
    ...{ host: address, port, path: `${pathname}${search}`, agent: false },
    method: body === undefined ? "GET" : "POST",
    headers: { host, ...headers, ...(body !== undefined && { "content-length": Buffer.byteLength(body) }) },
    // A server's name by SNI is never an address (RFC 6066 §3).
    servername: isIP(name) === 0 ? name : "",
    ...(authorities !== undefined && { ca: [...rootCertificates, authorities] }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(limit)]),
  };
  return new Promise((resolve, reject) => {
    const fail = (words: string, cause?: unknown) => reject(new NoAnswerError(words, { cause }));
    const failed = (error: NodeJS.ErrnoException) =>
      fail(error.name === "AbortError" ? "no answer" : (error.code ?? error.message), error);
    const asked = (protocol === "http:" ? requestHttp : requestHttps)(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", failed);
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size <= maxBytes) return;
        fail(`more than ${maxBytes} bytes`);
        asked.destroy();
      });
      response.on("end", () => {
        const date = Date.parse(response.headers.date ?? "");
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString("latin1"),
          date: Number.isNaN(date) ? undefined : date,
        });
      });
    });
    asked.on("error", failed);
    asked.end(body);
  });
}
