/**
 * Puts the account service together. Called by main.ts on the device and, with other paths, by tests.
 */
import { readFile } from "node:fs/promises";
import type { Server } from "node:http";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { createAccounts } from "./accounts.ts";
import { readMachineState } from "./machine.ts";
import { createRecipientServer } from "./recipients.ts";
import { createAuthServer } from "./server.ts";
import { openAccountStore } from "./store.ts";

/** 128 bits written as hex: below that a secret could be guessed, or the file was cut short. */
const minSecretLength = 32;

export type AuthServiceOptions = Readonly<{
  settingsPath: string;
  secretPath: string;
  databasePath: string;
  /** The program of the thread that writes it: store-writer.ts, or what it was bundled to. */
  writerProgram: URL | string;
  /** Where mail is kept, for the free space. */
  mailDirectory: string;
  /** Where Dovecot asks. */
  listen: ListenTarget;
  /** Where Postfix asks for recipients. */
  recipients: ListenTarget;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, DatabaseError, SocketInUseError, or Error about the secret.
 */
export async function startAuthService(
  options: AuthServiceOptions,
): Promise<{ server: Server; stop: readonly ShutdownStep[] }> {
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
    log: options.log,
  });
  const accounts = createAccounts({
    config,
    store,
    readMachineState: () => readMachineState(options.mailDirectory),
    now: () => Date.now() / 1000,
    log: options.log,
  });
  const server = createAuthServer({ accounts, secret, log: options.log });
  const recipientServer = createRecipientServer({
    exists: (address) => accounts.exists(address),
    log: options.log,
  });
  const recipientConnections = trackConnections(recipientServer);
  await listenSocket(recipientServer, options.recipients);
  await listenSocket(server, options.listen);
  options.log.info("answering logins", {
    domain: config.domain,
    accounts: store.count(),
    signUp: config.signUp.mode,
  });
  return {
    server,
    stop: [
      { name: "close connections", run: () => closeServer(server) },
      { name: "close recipient connections", run: () => recipientConnections.close() },
      { name: "close the account store", run: () => store.close() },
    ],
  };
}

/** Lets requests under way end; idle connections end at once. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeIdleConnections();
  });
}
