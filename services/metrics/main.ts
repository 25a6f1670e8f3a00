/**
 * homing-metrics.service: the relay's figures for Prometheus (service.ts), with the paths of appliance/layout.ts. Started
 * by systemd for the first connection to one of its sockets.
 */
import { dirname } from "node:path";
import { metricsListen, runPaths, tlsCertificatePath } from "../../appliance/layout.ts";
import { createLog } from "../lib/log.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startMetricsService } from "./service.ts";

/** The second is there only where the settings open the private network. */
const sockets = (process.env.LISTEN_FDNAMES ?? "metrics").split(":");

const log = createLog();
const { stop } = await startMetricsService({
  settingsPath: runPaths.relayConfig,
  // What comes from the first is not counted elsewhere.
  folders: [dirname(runPaths.queueFigures), runPaths.metrics],
  dovecotSocket: runPaths.dovecotStats,
  certificatePath: tlsCertificatePath,
  listen: sockets.map((name) => ({ name, ...metricsListen })),
  // As if systemd had asked: what is under way is answered, and the next connection starts it again.
  onIdle: () => process.kill(process.pid, "SIGTERM"),
  log,
});
exitOnSignals(log, stop);
