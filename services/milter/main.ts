/**
 * homing-milter.service: the milter service on the device (service.ts), with the paths of appliance/layout.ts.
 * Postfix calls it over a unix socket for every message.
 */
import { join } from "node:path";
import { dkimStatePath, runPaths } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { giveMemoryBack } from "../lib/memory.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startMilterService } from "./service.ts";

const log = createLog();
const stop = await startMilterService({
  settingsPath: runPaths.relayConfig,
  dkimKeyPath: runPaths.dkimKey,
  nextDkimKeyPath: runPaths.dkimNextKey,
  dkimStatePath,
  rateLimitPath: join(runPaths.milterState, "rate-limit"),
  listen: { name: "milter", path: runPaths.milterSocket },
  counters: createCounters({ path: join(runPaths.metrics, "milter.prom"), log }),
  log,
});
exitOnSignals(log, stop);
giveMemoryBack();
