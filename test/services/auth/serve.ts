/**
 * Runs the account service as a process of its own on given paths, for tests that kill it. Prints its port.
 * Arguments: settings, secret, database, mail directory.
 */
import { startAuthService } from "../../../services/auth/service.ts";
import { createLog } from "../../../services/lib/log.ts";
import { exitOnSignals } from "../../../services/lib/shutdown.ts";

const [settingsPath, secretPath, databasePath, mailDirectory] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];
const log = createLog();
const { server, stop } = await startAuthService({
  settingsPath,
  secretPath,
  databasePath,
  writerProgram: new URL("../../../services/auth/store-writer.ts", import.meta.url),
  homePinPath: `${databasePath}.pin`,
  knownWaysPath: `${databasePath}.known-ways`,
  mailDirectory,
  listen: { name: "auth", host: "127.0.0.1", port: 0 },
  recipients: { name: "recipients", path: `${databasePath}.recipients` },
  signUp: { name: "sign-up", path: `${databasePath}.sign-up` },
  reaper: { name: "reaper", path: `${databasePath}.reaper` },
  control: { name: "control", path: `${databasePath}.control`, mode: 0o600 },
  canary: { name: "canary", path: `${databasePath}.canary` },
  log,
});
exitOnSignals(log, stop);
const address = server.address();
if (address === null || typeof address === "string") throw new Error("the service does not listen on TCP");
console.log(address.port);
