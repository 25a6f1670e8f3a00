/**
 * The metadata service on the device (service.ts), with the paths of appliance/layout.ts; in homing-courier.service. The
 * others in that process carry mail, so what fails here ends none of them.
 */
import { join } from "node:path";
import { clockSyncedPath, dataPaths, runPaths, systemRootsPath, turnPort } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startMetadataService } from "./service.ts";

/** Between two tries to start, in milliseconds. */
const TRY_AGAIN_MS = 30_000;

const log = createLog();

async function start(): Promise<void> {
  try {
    const stop = await startMetadataService({
      settingsPath: runPaths.relayConfig,
      dataDirectory: dataPaths.metadata,
      stateDirectory: runPaths.metadataState,
      problemPath: runPaths.metadataProblem,
      clockSyncedPath,
      rootsPath: systemRootsPath,
      turn: { secretPath: runPaths.turnSecret, port: turnPort, problemPath: runPaths.turnProblem },
      listen: {
        dict: { name: "metadata", path: runPaths.metadataSocket },
        news: { name: "news", path: runPaths.newsSocket },
      },
      counters: createCounters({ path: join(runPaths.metrics, "metadata.prom"), log }),
      log,
    });
    exitOnSignals(log, stop);
  } catch (cause) {
    log.error("cannot answer for metadata, trying again", { seconds: TRY_AGAIN_MS / 1000 }, cause);
    setTimeout(() => void start(), TRY_AGAIN_MS);
  }
}

await start();
