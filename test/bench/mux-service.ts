/**
 * Port 443's service in a process of its own, for mux.ts, which bundles this as programs on the device are bundled:
 * takes its port and those of the back ends for imap, smtp and web.
 */
import { createCounters } from "../../services/lib/counters.ts";
import { createLog } from "../../services/lib/log.ts";
import { exitOnSignals } from "../../services/lib/shutdown.ts";
import { muxLimits } from "../../services/mux/limits.ts";
import { startMuxService } from "../../services/mux/service.ts";

const [port, imap, smtp, web] = process.argv
  .slice(2, 6)
  .map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const log = createLog();
const stop = await startMuxService({
  listen: { name: "mux", ...port! },
  backends: { imap: imap!, smtp: smtp!, web: web! },
  // All clients come from one address here.
  limits: { ...muxLimits(2 ** 34), perNetwork: 20_000, drainSeconds: 1 },
  counters: createCounters({ path: process.argv[6]!, log }),
  log,
});
exitOnSignals(log, stop);
