/**
 * homing-mux.service: port 443 on the device (service.ts), for IMAP, submission and the web alike, so that clients
 * get through firewalls that let nothing else pass.
 */

import { totalmem } from "node:os";
import { join } from "node:path";
import { ports, runPaths } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { giveMemoryBack } from "../lib/memory.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { deviceBackends } from "./backends.ts";
import { muxLimits } from "./limits.ts";
import { startMuxService } from "./service.ts";

const log = createLog();
const stop = await startMuxService({
  listen: { name: "mux", host: "::", port: ports.https },
  backends: deviceBackends,
  limits: muxLimits(totalmem()),
  counters: createCounters({ path: join(runPaths.metrics, "mux.prom"), log }),
  log,
});
exitOnSignals(log, stop);
giveMemoryBack();
