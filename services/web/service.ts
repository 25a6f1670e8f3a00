/**
 * Puts the web service together: certificate, routes, doors. Called by main.ts on the device and, with other paths, by
 * tests.
 */
import type { ListenTarget } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import { acmeChallengeRoutes } from "./acme-challenge.ts";
import { watchCertificate } from "./certificate.ts";
import { type Front, openFront } from "./front.ts";
import { type WebLimits, webLimits } from "./limits.ts";
import { createSite } from "./site.ts";

export type WebServiceOptions = Readonly<{
  settingsPath: string;
  certificate: Readonly<{ chain: string; key: string }>;
  acmeChallenges: string;
  /** Port 80, and where services/mux hands over. */
  listen: Readonly<{ http: ListenTarget; tls: ListenTarget }>;
  limits?: WebLimits;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, SocketInUseError, or what is wrong with the certificate.
 */
export async function startWebService(
  options: WebServiceOptions,
): Promise<{ front: Front; stop: readonly ShutdownStep[] }> {
  const { log, limits = webLimits } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const certificate = await watchCertificate(options.certificate, log);
  const site = createSite({
    domain: config.domain,
    everywhere: acmeChallengeRoutes(options.acmeChallenges),
    autoconfig: {},
    mtaSts: {},
    relay: [],
  });
  const front = await openFront({
    site,
    limits,
    log,
    secureContext: certificate.context,
    listen: options.listen,
  });
  log.info("answering on the web", { domain: config.domain });
  return {
    front,
    stop: [
      { name: "close connections", run: () => front.close() },
      { name: "stop watching the certificate", run: () => certificate.stop() },
    ],
  };
}
