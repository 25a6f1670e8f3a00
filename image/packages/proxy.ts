/**
 * The proxies that the environment names (HTTP_PROXY, HTTPS_PROXY, NO_PROXY, also in lower case), as other programs
 * read them. Called by image/packages/http-client.ts and for npm by node-runtime.ts; what all show of URLs. Pure.
 */

type Environment = Readonly<Record<string, string | undefined>>;

const PROXY_NAMES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"] as const;
const EXCEPTION_NAMES = ["no_proxy", "NO_PROXY"] as const;

/** This computer itself, say a local mirror: no other computer could reach it. */
const OWN_NAMES = "localhost,127.0.0.1,::1";
const withOwnNames = (exceptions: string): string =>
  exceptions === "*" ? exceptions : `${exceptions},${OWN_NAMES}`;

/** The environment names a proxy that cannot be used. */
export class ProxyError extends Error {
  override name = "ProxyError";
}

/**
 * The proxy settings of `env` alone, in a form that Node and npm understand: curl and apt take "proxy:3128" as well,
 * which Node passes over in silence. Throws ProxyError for what is no HTTP proxy.
 */
export function proxyEnvironment(env: Environment): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const name of PROXY_NAMES) {
    const value = env[name]?.trim();
    if (!value) continue;
    const url = value.includes("://") ? value : `http://${value}`;
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
      throw new ProxyError(
        `${name} is "${withoutLogin(url)}", but only an HTTP proxy like http://proxy.example:3128 can be used; ` +
          "correct it, or unset it",
      );
    }
    settings[name] = url;
  }
  if (Object.keys(settings).length === 0) return settings;
  const given = EXCEPTION_NAMES.filter((name) => env[name]?.trim());
  for (const name of given) settings[name] = withOwnNames(env[name]!.trim());
  if (given.length === 0) settings.NO_PROXY = OWN_NAMES;
  return settings;
}

/** "HTTPS_PROXY=http://proxy.example:3128", for error texts: without names and passwords. Empty without a proxy. */
export function proxyText(env: Environment): string {
  return PROXY_NAMES.filter((name) => env[name])
    .map((name) => `${name}=${withoutLogin(env[name]!)}`)
    .join(", ");
}

/** The URL as it may be shown: without name and password, which may hold an "@" themselves. */
export function withoutLogin(url: string): string {
  return url.replace(/^([a-z0-9+.-]+:\/\/)?[^/]*@/i, "$1");
}
