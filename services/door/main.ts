/**
 * The door of the mailboxes on the device (service.ts), with the paths of appliance/layout.ts; in homing-courier.service.
 * Postfix comes here with every message for an account of this relay.
 */
import { join } from "node:path";
import { dataPaths, runPaths } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startDoorService } from "./service.ts";

const log = createLog();
const stop = await startDoorService({
  listen: { name: "door", path: runPaths.doorSocket },
  lmtpPath: runPaths.dovecotLmtp,
  lookPath: runPaths.dovecotLook,
  newsPath: runPaths.newsSocket,
  listPath: join(dataPaths.door, "delivered"),
  counters: createCounters({ path: join(runPaths.metrics, "door.prom"), log }),
  log,
});
exitOnSignals(log, stop);
