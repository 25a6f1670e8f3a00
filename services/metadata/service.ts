/**
 * Puts the metadata service together: a Dovecot dict server on a unix socket. Called by main.ts on the
 * device and, with other paths, by tests.
 */
import { createServer } from "node:net";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { createDictionary } from "./dictionary.ts";
import { serveSession } from "./session.ts";
import { openMetadataStore } from "./store.ts";

/** Starts the service; resolves when it listens. @throws SettingsError, DatabaseError, SocketInUseError */
export async function startMetadataService(
  options: Readonly<{ settingsPath: string; databasePath: string; listen: ListenTarget; log: Log }>,
): Promise<readonly ShutdownStep[]> {
  const { log } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const store = openMetadataStore(options.databasePath, config.push);
  const dictionary = createDictionary({ config, store, now: () => Date.now() / 1000 });
  const server = createServer((socket) => serveSession(socket, { dictionary, log }));
  const connections = trackConnections(server);
  await listenSocket(server, options.listen);
  log.info("answering for metadata", { domain: config.domain, push: config.push.enabled });
  return [
    { name: "close connections", run: () => connections.close() },
    { name: "close the metadata store", run: () => store.close() },
  ];
}
