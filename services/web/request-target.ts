/**
 * Reads what a client asks for: the request target and the host. Absolute targets (RFC 9112 §3.2.2) count as well as
 * paths: Delta Chat sends them. Called by http1.ts and http2.ts; pure.
 */
import { HttpProblem } from "./exchange.ts";

/** Longer than any link of ours; far below what header fields may take in all. In characters. */
const maxTargetLength = 2048;

export type Target = Readonly<{ path: string; query: URLSearchParams; host: string }>;

/**
 * @param hostField Host or :authority; an absolute target overrides it (RFC 9112 §3.2.2).
 * @throws HttpProblem 400 or 414.
 */
export function parseTarget(target: string, hostField: string): Target {
  if (target.length > maxTargetLength) throw new HttpProblem(414, "the address is too long");
  const [, authority, rest] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target) ?? [];
  const relative = authority === undefined ? target : (rest ?? "");
  const [pathPart = "", ...queryParts] = relative.split("#", 1)[0]!.split("?");
  if (pathPart !== "" && !pathPart.startsWith("/")) throw badTarget();
  if (pathPart === "" && authority === undefined) throw badTarget();
  return {
    path: decodePath(pathPart === "" ? "/" : pathPart),
    query: new URLSearchParams(queryParts.join("?")),
    host: hostName(authority ?? hostField),
  };
}

function badTarget(): HttpProblem {
  return new HttpProblem(400, "the address cannot be read");
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw badTarget();
  }
}

/** Without port, lower case, without a final dot. What is no name of ours need not be a name at all. */
function hostName(authority: string): string {
  const withoutUser = authority.slice(authority.lastIndexOf("@") + 1);
  return withoutUser.replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
}
