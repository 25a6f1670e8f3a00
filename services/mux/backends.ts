/** Which server a connection to port 443 is for. Pure. Called by connection.ts and service.ts. */
import { muxBackends, runPaths } from "../../appliance/layout.ts";

export type BackendName = "imap" | "smtp" | "web";
export type Target = Readonly<{ path: string } | { host: string; port: number }>;
export type Backends = Readonly<Record<BackendName, Target>>;

/** Those of the device; each believes the PROXY header that comes first. */
export const deviceBackends: Backends = { ...muxBackends, web: { path: runPaths.webSocket } };

/** By what the client offers (ALPN): the mail protocols by their registered names (IANA), everything else is web. */
export function backendFor(protocols: readonly string[]): BackendName {
  if (protocols.includes("imap")) return "imap";
  if (protocols.includes("smtp")) return "smtp";
  return "web";
}
