/**
 * homing-web.service: the web service on the device (service.ts), with the paths of appliance/layout.ts. Its key comes
 * from systemd (LoadCredential=).
 */
import { join } from "node:path";
import {
  httpsMailListen,
  ports,
  runPaths,
  tlsCertificatePath,
  webDirectory,
} from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { giveMemoryBack } from "../lib/memory.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startWebService } from "./service.ts";

const log = createLog();
const { stop } = await startWebService({
  settingsPath: runPaths.relayConfig,
  certificate: { chain: tlsCertificatePath, key: join(process.env.CREDENTIALS_DIRECTORY ?? "", "tls-key") },
  acmeChallenges: runPaths.acmeChallenges,
  pages: [webDirectory, runPaths.web],
  signUpSocket: runPaths.signUpSocket,
  mail: httpsMailListen,
  acceptedMail: join(runPaths.webState, "accepted-mail"),
  status: { facts: runPaths.statusFacts, canary: runPaths.canaryVerdict },
  listen: {
    http: { name: "http", host: "::", port: ports.http },
    tls: { name: "web", path: runPaths.webSocket },
  },
  counters: createCounters({ path: join(runPaths.metrics, "web.prom"), log }),
  log,
});
exitOnSignals(log, stop);
giveMemoryBack();
