/**
 * A `fetch` for one request that leaves nothing behind: Node's own goes on connecting for ten seconds after it was
 * stopped, and the program with it. Takes what dns/https-exchange.ts gives it; follows no redirect. Called there. I/O.
 */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";

export const briefFetch: typeof fetch = (input, init = {}) => {
  const { url, method, headers, signal } = new Request(input, { ...init, body: null });
  const body = init.body instanceof Uint8Array ? init.body : Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const request = new URL(url).protocol === "http:" ? requestHttp : requestHttps;
    const options = { method, headers: Object.fromEntries(headers), signal, agent: false };
    const asked = request(url, options, (response) => {
      const type = response.headers["content-type"] ?? "";
      resolve(
        new Response(Readable.toWeb(response) as ReadableStream<Uint8Array>, {
          status: response.statusCode === 200 ? 200 : 502,
          headers: { "content-type": type },
        }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
};
