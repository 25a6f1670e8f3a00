/**
 * The metadata service on the device (service.ts), with the paths of appliance/layout.ts; in homing-courier.service.
 */
import { join } from "node:path";
import { dataPaths, runPaths, systemRootsPath, turnPort } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startMetadataService } from "./service.ts";

const log = createLog();
const stop = await startMetadataService({
  settingsPath: runPaths.relayConfig,
  dataDirectory: dataPaths.metadata,
  stateDirectory: runPaths.metadataState,
  rootsPath: systemRootsPath,
  turn: { secretPath: runPaths.turnSecret, port: turnPort },
  listen: {
    dict: { name: "metadata", path: runPaths.metadataSocket },
    news: { name: "news", path: runPaths.newsSocket },
  },
  counters: createCounters({ path: join(runPaths.metrics, "metadata.prom"), log }),
  log,
});
exitOnSignals(log, stop);
