/**
 * Runs the web service as a process of its own on given paths, for benches. Prints "ready". Arguments: settings,
 * certificate chain, key, socket for TLS, socket of the account service.
 */
import { join } from "node:path";
import { createLog } from "../../../services/lib/log.ts";
import { exitOnSignals } from "../../../services/lib/shutdown.ts";
import { webLimits } from "../../../services/web/limits.ts";
import { startWebService } from "../../../services/web/service.ts";

const [settingsPath, chain, key, tlsSocket, signUpSocket] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const log = createLog();
const { stop } = await startWebService({
  settingsPath,
  certificate: { chain, key },
  acmeChallenges: `${tlsSocket}.challenges`,
  mail: { host: "127.0.0.1", port: 10024 },
  acceptedMail: `${tlsSocket}.accepted`,
  pages: [join(import.meta.dirname, "../../../web")],
  signUpSocket,
  status: { facts: `${tlsSocket}.facts`, canary: `${tlsSocket}.canary` },
  listen: { http: { name: "http", host: "127.0.0.1", port: 0 }, tls: { name: "web", path: tlsSocket } },
  // A bench asks more on one connection than anybody.
  limits: { ...webLimits, requestsOfConnection: 1_000_000_000 },
  log,
});
exitOnSignals(log, stop);
console.log("ready");
