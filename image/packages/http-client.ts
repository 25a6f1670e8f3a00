/**
 * Sends GET requests: through the proxy that the environment names, following redirects, over connections that stay
 * open for the next request. Called by image/packages/http.ts; tests stand in for it or give it another environment.
 *
 * node:http and not fetch, because fetch opens a tunnel (CONNECT) through a proxy for http URLs too, which proxies
 * commonly allow for port 443 alone; node:http asks as RFC 9112 §3.2.2 demands, with the whole URL.
 */
import http, { type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import https from "node:https";
import { proxyEnvironment, withoutLogin } from "./proxy.ts";

/** The head of an answer, and its body as it comes. Whoever does not read the body to its end destroys it. */
export type HttpAnswer = Readonly<{
  status: number;
  headers: IncomingHttpHeaders;
  body: AsyncIterable<Uint8Array> & { destroy: () => void };
}>;

/** Rejects with the system's error, or when the signal is aborted. */
export type HttpClient = (
  url: string,
  options: Readonly<{ headers: Readonly<Record<string, string>>; signal: AbortSignal }>,
) => Promise<HttpAnswer>;

/** Mirrors redirect once or twice; a loop never ends. */
const MAX_REDIRECTS = 5;
/** A connection that takes longer to come about, the proxy's part included, never will; in milliseconds. */
const CONNECT_MILLISECONDS = 10_000;
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308];

/** A client with connections of its own. Throws ProxyError when the environment names an unusable proxy. */
export function createHttpClient(
  env: Readonly<Record<string, string | undefined>> = process.env,
): HttpClient {
  const settings = { keepAlive: true, proxyEnv: proxyEnvironment(env) };
  const plain = new http.Agent(settings);
  const encrypted = new https.Agent(settings);

  function ask(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal) {
    return new Promise<IncomingMessage>((resolve, reject) => {
      const request =
        url.protocol === "https:"
          ? https.get(url, { agent: encrypted, headers, signal })
          : http.get(url, { agent: plain, headers, signal });
      const timer = setTimeout(() => {
        const text = `nobody answered within ${CONNECT_MILLISECONDS / 1000} seconds`;
        request.destroy(Object.assign(new Error(text), { code: "ETIMEDOUT" }));
      }, CONNECT_MILLISECONDS);
      const connected = () => clearTimeout(timer);
      request.once("socket", (socket) => {
        if (socket.connecting) socket.once("connect", connected);
        else connected();
      });
      request.once("close", connected);
      request.once("response", (answer) => {
        connected();
        resolve(answer);
      });
      // Stays for the whole exchange: an error after the answer's head is told by its body as well.
      request.on("error", reject);
    });
  }

  return async (url, { headers, signal }) => {
    let place = new URL(url);
    for (let redirects = 0; ; redirects++) {
      const answer = await ask(place, headers, signal);
      const { location } = answer.headers;
      if (!REDIRECTS.includes(answer.statusCode) || location === undefined) {
        return { status: answer.statusCode ?? 0, headers: answer.headers, body: answer };
      }
      answer.destroy();
      if (redirects === MAX_REDIRECTS) throw new Error(`redirected more than ${MAX_REDIRECTS} times`);
      place = redirected(location, place);
    }
  };
}

function redirected(location: string, from: URL): URL {
  const place = URL.parse(location, from.href);
  if (place && /^https?:$/.test(place.protocol)) return place;
  throw new Error(`redirected to "${withoutLogin(location)}", which is no http or https address`);
}
