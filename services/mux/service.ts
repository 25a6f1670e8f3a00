/** Puts the service together: port 443. Called by main.ts on the device and, with other targets, by tests and benches. */
import { createServer } from "node:net";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import type { Backends } from "./backends.ts";
import { createMux } from "./connection.ts";
import type { MuxLimits } from "./limits.ts";
import { acceptFrom } from "./raw-socket.ts";

export type MuxServiceOptions = Readonly<{
  listen: ListenTarget;
  backends: Backends;
  limits: MuxLimits;
  counters: Counters;
  log: Log;
}>;

/** Starts the service; resolves when it listens. @throws SocketInUseError, NodeHandlesError */
export async function startMuxService(options: MuxServiceOptions): Promise<readonly ShutdownStep[]> {
  const { limits, counters, log } = options;
  const routed = counters.counter(
    "homing_mux_connections_total",
    "Connections to port 443 by the server they were for.",
  );
  const refused = counters.counter(
    "homing_mux_refused_total",
    "Connections to port 443 that were closed, by reason.",
  );
  const open = counters.gauge("homing_mux_open_connections", "Connections to port 443 at the moment.");
  const mux = createMux({
    ...options,
    count: {
      routed: (backend) => routed.add({ backend }),
      refused: (reason, backend) => refused.add(backend === undefined ? { reason } : { reason, backend }),
      open: (count) => open.set(count),
    },
  });
  const server = createServer();
  acceptFrom(server, mux.events, mux.accept);
  await listenSocket(server, options.listen);
  log.info("ready", { connections: limits.connections, perNetwork: limits.perNetwork });
  return [
    { name: "take no more connections", run: () => void server.close() },
    { name: "let connections end", run: mux.drain },
    { name: "write the counters", run: counters.close },
  ];
}
