/**
 * homing-metadata.service: the metadata service on the device (service.ts), with the paths of
 * appliance/layout.ts.
 */
import { join } from "node:path";
import { dataPaths, runPaths } from "../../appliance/layout.ts";
import { createLog } from "../lib/log.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startMetadataService } from "./service.ts";

const log = createLog();
const stop = await startMetadataService({
  settingsPath: runPaths.relayConfig,
  databasePath: join(dataPaths.metadata, "metadata.sqlite"),
  listen: { name: "metadata", path: runPaths.metadataSocket },
  log,
});
exitOnSignals(log, stop);
