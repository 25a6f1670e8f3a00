/**
 * Puts the milter service together. Called by main.ts on the device and, with other paths, by tests and benches.
 */
import { Resolver } from "node:dns/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { type RunningConnection, serveConnection } from "./connection.ts";
import { createVerdictCounts } from "./counts.ts";
import { openRateFile } from "./rate-file.ts";
import { createRateLimit } from "./rate-limit.ts";
import { createRateTable } from "./rate-table.ts";
import { createRules } from "./rules.ts";
import { openSigningKeys } from "./signing-key.ts";

/**
 * The local resolver gets this long for an answer, and at a second try up to twice that (c-ares): enough for it to
 * ask a slow or lossy server three or four times, which systemd-resolved does every 5 s. Meanwhile Postfix is told
 * that we are at work (connection.ts); the other side waits for at least 10 minutes (RFC 5321 §4.5.3.2.6).
 */
const DNS_TIMEOUT_MS = 7000;
const DNS_TRIES = 2;

/**
 * Connections served at once. Postfix opens one for each of its processes: at most 100 for each of the three doors
 * and as many for its own mail (default_process_limit). More are closed at once, and Postfix defers.
 */
export const MAX_CONNECTIONS = 1000;

export type MilterServiceOptions = Readonly<{
  settingsPath: string;
  /** PEM files of the DKIM key and, where the settings name one, of the next; what says which of them signs. */
  dkimKeyPath: string;
  nextDkimKeyPath: string;
  dkimStatePath: string;
  /** The rate limit's file; in memory, for it is written for every message. */
  rateLimitPath: string;
  /** Where Postfix connects. */
  listen: ListenTarget;
  /** Without it nothing is counted. */
  counters?: Counters;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, DkimKeyError, SocketInUseError.
 */
export async function startMilterService(options: MilterServiceOptions): Promise<readonly ShutdownStep[]> {
  const { log } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const keys = await openSigningKeys({
    config,
    keyPath: options.dkimKeyPath,
    nextKeyPath: options.nextDkimKeyPath,
    statePath: options.dkimStatePath,
    log,
  });
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES });
  const daemons = createRules({
    key: keys.current,
    rateLimit: createRateLimit(config.sending, createRateTable(openRateFile(options.rateLimitPath, log))),
    resolveTxt: (name) => resolver.resolveTxt(name),
    now: millisecondsSinceBoot,
  });
  const counts = options.counters && createVerdictCounts(options.counters, new Set(daemons.keys()));
  const { server, close } = createMilterServer(
    (socket) => serveConnection(socket, { daemons, ...(counts && { counts }), log }),
    log,
  );
  await listenSocket(server, options.listen);
  log.info("ready", { domain: config.domain, selector: keys.current().selector });
  return [
    { name: "finish messages under way", run: close },
    { name: "stop looking for another key", run: keys.close },
    { name: "write the counters", run: () => options.counters?.close() },
  ];
}

/** A server that knows its connections: `close` lets each end its message and resolves when the last is gone. */
function createMilterServer(
  serve: (socket: Socket) => RunningConnection,
  log: Log,
): { server: Server; close(): Promise<void> } {
  const connections = new WeakMap<Socket, RunningConnection>();
  let hasWarned = false;
  const server = createServer((socket) => {
    hasWarned = false;
    connections.set(socket, serve(socket));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on("drop", () => {
    // One line for a flood, not one for each.
    if (!hasWarned)
      log.warn("too many milter connections: more are closed at once", { limit: MAX_CONNECTIONS });
    hasWarned = true;
  });
  const { close } = trackConnections(server, (socket) => connections.get(socket)?.finish());
  return { server, close };
}

/** A clock that never goes back, and goes on over a restart of the service: CLOCK_MONOTONIC of clock_gettime(2). */
function millisecondsSinceBoot(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
