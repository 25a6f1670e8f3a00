/**
 * A `fetch` for one request that leaves nothing behind: Node's own goes on connecting for ten seconds after it was
 * stopped, and the program with it. Takes what https-exchange.ts gives it; follows no redirect. Called there. I/O.
 */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { Readable } from "node:stream";

/** What a Response may have with a body, other than by these. */
const statusesWithoutBody: readonly number[] = [204, 205, 304];

export const briefFetch: typeof fetch = (input, init = {}) => {
  const { url, method, headers, signal } = new Request(input, { ...init, body: null });
  const body = init.body instanceof Uint8Array ? init.body : Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    const request = new URL(url).protocol === "http:" ? requestHttp : requestHttps;
    const options = { method, headers: Object.fromEntries(headers), signal, agent: false };
    const asked = request(url, options, (response) => {
      const status = response.statusCode ?? 0;
      if (status < 200 || status > 599) {
        asked.destroy();
        return reject(new TypeError(`it answers with status ${status}`));
      }
      const type = response.headers["content-type"] ?? "";
      const content = Readable.toWeb(response) as ReadableStream<Uint8Array>;
      resolve(
        new Response(statusesWithoutBody.includes(status) ? null : content, {
          status,
          headers: { "content-type": type },
        }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
};
