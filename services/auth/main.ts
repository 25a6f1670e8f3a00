/**
 * homing-auth.service: the account service on the device (service.ts), with the paths of appliance/layout.ts.
 */
import { join } from "node:path";
import { authListen, dataPaths, programDirectory, runPaths } from "../../appliance/layout.ts";
import { createCounters } from "../lib/counters.ts";
import { createLog } from "../lib/log.ts";
import { giveMemoryBack } from "../lib/memory.ts";
import { exitOnSignals } from "../lib/shutdown.ts";
import { startAuthService } from "./service.ts";

const log = createLog();
const { stop } = await startAuthService({
  settingsPath: runPaths.relayConfig,
  secretPath: runPaths.authSecret,
  databasePath: join(dataPaths.accounts, "accounts.sqlite"),
  homePinPath: runPaths.homePin,
  // A bundle of its own beside this one's (appliance/rootfs.ts).
  writerProgram: join(programDirectory, "auth-writer.mjs"),
  knownWaysPath: runPaths.knownWays,
  mailDirectory: dataPaths.mail,
  listen: { name: "auth", ...authListen },
  recipients: { name: "recipients", path: runPaths.recipientSocket },
  signUp: { name: "sign-up", path: runPaths.signUpSocket },
  reaper: { name: "reaper", path: runPaths.reaperSocket },
  control: { name: "control", path: runPaths.controlSocket, mode: 0o600 },
  canary: { name: "canary", path: runPaths.canarySocket },
  counters: createCounters({ path: join(runPaths.metrics, "auth.prom"), log }),
  log,
});
exitOnSignals(log, stop);
giveMemoryBack();
