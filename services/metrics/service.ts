/**
 * Puts the metrics service together. It is started by the first connection and ends by itself when nobody asks any
 * more, so that a relay without Prometheus gives no memory for it. Called by main.ts on the device and by tests.
 */
import type { Server } from "node:http";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import { createScrape, type ScrapeOptions } from "./scrape.ts";
import { createMetricsServer } from "./server.ts";

/** Twice the longest interval that people usually scrape at, which is two minutes. */
export const IDLE_MS = 5 * 60_000;

export type MetricsServiceOptions = ScrapeOptions &
  Readonly<{
    settingsPath: string;
    listen: readonly ListenTarget[];
    idleMs?: number;
    /** Nobody asked for `idleMs`. */
    onIdle(): void;
  }>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, SocketInUseError.
 */
export async function startMetricsService(
  options: MetricsServiceOptions,
): Promise<{ servers: readonly Server[]; stop: readonly ShutdownStep[] }> {
  const { log, idleMs = IDLE_MS } = options;
  const { metrics } = await loadRelayConfig(options.settingsPath);
  const scrape = createScrape(options);
  const idle = setTimeout(() => options.onIdle(), idleMs);
  const servers = options.listen.map(() =>
    createMetricsServer({
      scrape,
      tokenSha256: metrics.tokenSha256,
      onRequest: () => idle.refresh(),
      log,
    }),
  );
  for (const [i, server] of servers.entries()) await listenSocket(server, options.listen[i]!);
  return {
    servers,
    stop: [
      { name: "wait for nobody any more", run: () => clearTimeout(idle) },
      ...servers.map((server) => ({ name: "answer scrapes under way", run: () => closeServer(server) })),
    ],
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeIdleConnections();
  });
}
