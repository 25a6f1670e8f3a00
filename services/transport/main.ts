/**
 * The transport service on the device (service.ts), with the paths of appliance/layout.ts; in homing-courier.service.
 * Postfix calls it for every message to another relay.
 */
import { join } from "node:path";
import { isTestDomain } from "../../appliance/domain.ts";
import {
  runPaths,
  systemRootsPath,
  transportFallbackListen,
  transportFirstAgainListen,
  transportFirstListen,
  transportKnownAgainListen,
  transportKnownListen,
} from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startTransportService } from "./service.ts";

const log = createLog();
const stop = await startTransportService({
  listen: {
    known: { name: "transport", ...transportKnownListen },
    first: { name: "transport-first", ...transportFirstListen },
    "known again": { name: "transport-again", ...transportKnownAgainListen },
    "first again": { name: "transport-first-again", ...transportFirstAgainListen },
    last: { name: "transport-fallback", ...transportFallbackListen },
  },
  knownWaysPath: runPaths.knownWays,
  rootsPath: systemRootsPath,
  isTestRelay: isTestDomain((await loadRelayConfig(runPaths.relayConfig)).domain),
  counters: createCounters({ path: join(runPaths.metrics, "transport.prom"), log }),
  log,
});
exitOnSignals(log, stop);
