/**
 * Puts the account service together. Called by main.ts on the device and, with other paths, by tests.
 */
import { readFile } from "node:fs/promises";
import type { Server } from "node:http";
import { readIfPresent } from "../../appliance/life/disk.ts";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { countAccounts } from "./account-counts.ts";
import { createAccountRequests } from "./account-requests.ts";
import { createAccounts } from "./accounts.ts";
import { createCanaryServer } from "./canary.ts";
import { createControlServer } from "./control-server.ts";
import { createHomeInvitations } from "./home-pin.ts";
import { holdMachineState, readMachineState } from "./machine.ts";
import { createProofs } from "./proof-of-work.ts";
import { createReaperServer } from "./reaper-server.ts";
import { createRecipientServer } from "./recipients.ts";
import { createRoutes } from "./routes.ts";
import { createAuthServer } from "./server.ts";
import { createSignUp, type SignUpCount } from "./sign-up.ts";
import { createSignUpLimits } from "./sign-up-limits.ts";
import { createSignUpMode } from "./sign-up-mode.ts";
import { createSignUpServer } from "./sign-up-server.ts";
import { openAccountStore } from "./store.ts";

/** 128 bits written as hex: below that a secret could be guessed, or the file was cut short. */
const minSecretLength = 32;

export type AuthServiceOptions = Readonly<{
  settingsPath: string;
  secretPath: string;
  databasePath: string;
  /** The PIN on the relay's screen; where there is no such file, none is right. */
  homePinPath: string;
  /** The program of the thread that writes it: store-writer.ts, or what it was bundled to. */
  writerProgram: URL | string;
  /** What services/transport knows of other domains. */
  knownWaysPath: string;
  /** Where mail is kept, for the free space. */
  mailDirectory: string;
  /** Where Dovecot asks. */
  listen: ListenTarget;
  /** Where Postfix asks for recipients, and for the ways to other domains. */
  recipients: ListenTarget;
  /** Where services/web asks for accounts. */
  signUp: ListenTarget;
  /** Where homing-ctl asks. */
  control: ListenTarget;
  /** Where services/reaper asks. */
  reaper: ListenTarget;
  /** Where services/probe asks for its account. */
  canary: ListenTarget;
  /** Without it nothing is counted. */
  counters?: Counters;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, DatabaseError, SocketInUseError, or Error about the secret.
 */
export async function startAuthService(
  options: AuthServiceOptions,
): Promise<{ server: Server; stop: readonly ShutdownStep[] }> {
  const { log } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const secret = (await readFile(options.secretPath, "utf8")).trim();
  if (secret.length < minSecretLength) {
    throw new Error(
      `the shared secret ${options.secretPath} has fewer than ${minSecretLength} characters: ` +
        "homing-configure.service writes it at every boot; see `systemctl status homing-configure`",
    );
  }
  const store = openAccountStore({
    path: options.databasePath,
    writerProgram: options.writerProgram,
    log,
  });
  const steadyNow = () => performance.now();
  const now = () => Date.now() / 1000;
  const mode = await createSignUpMode({ store, settings: config.signUp.mode, log });
  const rules = {
    config,
    store,
    mode: mode.current,
    limits: createSignUpLimits(config.signUp, steadyNow),
    machineState: holdMachineState(() => readMachineState(options.mailDirectory), steadyNow),
    now,
    log,
    ...(options.counters && { count: signUpCount(options.counters) }),
  };
  const accounts = createAccounts(rules);
  const signUp = createSignUp({ ...rules, proofs: createProofs(now) });
  const server = createAuthServer({ accounts, secret, log });
  const recipientServer = createRecipientServer({
    exists: (address) => accounts.exists(address),
    route: createRoutes(options.knownWaysPath, log),
    log,
  });
  const home = createHomeInvitations({
    ...{ domain: config.domain, mode: mode.current, invites: store.invites, now, steadyNow, log },
    pin: (await readIfPresent(options.homePinPath))?.toString().trim(),
  });
  const signUpServer = createSignUpServer({ signUp, home, log });
  const requests = createAccountRequests({ domain: config.domain, store, log });
  const reaperServer = createReaperServer({ accounts: requests, log });
  const controlServer = createControlServer({
    domain: config.domain,
    mode,
    invites: store.invites,
    accounts: requests,
    now,
    log,
  });
  const canaryServer = createCanaryServer({ domain: config.domain, store, now, log });
  const recipientConnections = trackConnections(recipientServer);
  await listenSocket(recipientServer, options.recipients);
  await listenSocket(signUpServer, options.signUp);
  await listenSocket(controlServer, options.control);
  await listenSocket(reaperServer, options.reaper);
  await listenSocket(canaryServer, options.canary);
  await listenSocket(server, options.listen);
  const accountsThere = store.count();
  // A new relay: its owner is waiting to try it.
  if (accountsThere === 0) store.expectAccounts();
  log.info("answering logins", {
    domain: config.domain,
    accounts: accountsThere,
    signUp: mode.current(),
  });
  const counting = options.counters && countAccounts({ counters: options.counters, store, log });
  return {
    server,
    stop: [
      { name: "close connections", run: () => closeServer(server) },
      { name: "close recipient connections", run: () => recipientConnections.close() },
      { name: "close connections of the web service", run: () => closeServer(signUpServer) },
      { name: "close connections of homing-ctl", run: () => closeServer(controlServer) },
      { name: "close connections of the reaper", run: () => closeServer(reaperServer) },
      { name: "close connections of the canary", run: () => closeServer(canaryServer) },
      { name: "end counting", run: () => counting?.stop() },
      { name: "close the account store", run: () => store.close() },
      { name: "write the counters", run: () => options.counters?.close() },
    ],
  };
}

function signUpCount(counters: Counters): SignUpCount {
  const wishes = counters.counter(
    "homing_sign_ups_total",
    "Wishes for an account, over HTTPS (“web”) or by a first login, by what came of them: “made” or why not.",
  );
  return (way, outcome) => wishes.add({ way, outcome });
}

/** Lets requests under way end; idle connections end at once. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeIdleConnections();
  });
}
