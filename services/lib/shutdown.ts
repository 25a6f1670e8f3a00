/**
 * Ends a service cleanly when systemd asks (SIGTERM) or somebody presses Ctrl-C (SIGINT): take no new
 * work, finish what is under way, close the stores, exit 0. Called once by every service's main.ts.
 */
import type { Server, Socket } from "node:net";
import type { Log } from "./log.ts";

/**
 * How long work under way may take after the request to stop, in milliseconds. systemd kills after 90 s
 * (DefaultTimeoutStopSec); a reboot should not wait for one slow connection.
 */
const shutdownLimitMs = 10_000;

/** A step of the shutdown; steps run one after the other, in order. */
export type ShutdownStep = Readonly<{ name: string; run(): Promise<void> | void }>;

/** A process may be several services: each one's steps run by themselves, all at the same time. */
const services: (() => Promise<boolean>)[] = [];

/**
 * Runs the steps at the first SIGTERM or SIGINT, then exits: 0 when all went well, 1 when a step failed
 * or the time was up. An uncaught error is logged and ends the process with 1, so that systemd restarts it.
 */
export function exitOnSignals(log: Log, steps: readonly ShutdownStep[]): void {
  services.push(() => runSteps(log, steps));
  if (services.length > 1) return;
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info("stopping", { signal });
    const limit = setTimeout(() => {
      log.error("work under way did not end in time, leaving it", { limitMs: shutdownLimitMs });
      process.exit(1);
    }, shutdownLimitMs);
    const ended = await Promise.all(services.map((end) => end()));
    clearTimeout(limit);
    process.exit(ended.every(Boolean) ? 0 : 1);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("uncaughtException", (cause) => {
    log.error("uncaught error, ending so that the service starts afresh", {}, cause);
    process.exit(1);
  });
}

/** Whether all went well. */
async function runSteps(log: Log, steps: readonly ShutdownStep[]): Promise<boolean> {
  let isWell = true;
  for (const step of steps) {
    try {
      await step.run();
    } catch (cause) {
      log.error("a step of stopping failed", { step: step.name }, cause);
      isWell = false;
    }
  }
  return isWell;
}

/**
 * Keeps track of a server's open connections. `close` refuses new ones, calls `end` for each open one
 * (the service ends it at once or after the work under way) and resolves when the last is gone.
 */
export function trackConnections(
  server: Server,
  end: (socket: Socket) => void = (socket) => socket.end(),
): { close(): Promise<void>; count(): number } {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return {
    count: () => open.size,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        for (const socket of open) end(socket);
      }),
  };
}
