/**
 * The DKIM key that signs: the relay's, or the next one as soon as services/dkim has written down that the DNS shows
 * it. Both are read at the start, so that the change itself cannot fail. Called by service.ts.
 */
import { createPrivateKey } from "node:crypto";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { dkimKeyPath, type RelayConfig } from "../../appliance/relay-config.ts";
import type { Log } from "../lib/log.ts";
import type { SigningKey } from "./dkim-sign.ts";

/** A DKIM key cannot be used; the message says where it should be. */
class DkimKeyError extends Error {
  override name = "DkimKeyError";
}

type SigningKeyOptions = Readonly<{
  config: RelayConfig;
  /** Files of the private keys; the next one is read only when the settings name it. */
  keyPath: string;
  nextKeyPath: string;
  /** File that holds the selector of the key that took over. Its folder exists. */
  statePath: string;
  log: Log;
}>;

type SigningKeys = Readonly<{
  current(): SigningKey;
  /** Stops looking for changes. */
  close(): void;
}>;

/** @throws DkimKeyError */
export async function openSigningKeys(options: SigningKeyOptions): Promise<SigningKeys> {
  const { config, keyPath, nextKeyPath, statePath, log } = options;
  const { domain, dkim } = config;
  const first = await readSigningKey(keyPath, domain, dkim.selector);
  if (dkim.nextSelector === "") return { current: () => first, close: () => {} };

  const next = await readSigningKey(nextKeyPath, domain, dkim.nextSelector);
  let current = first;
  const look = async (): Promise<void> => {
    if (current === next || !(await hasTakenOver(statePath, next))) return;
    current = next;
    log.info("the next DKIM key signs from now on", { selector: next.selector });
  };
  // The folder, not the file: the file is replaced, and may not be there yet. Before the first look, to miss nothing.
  const watcher = watch(dirname(statePath), { persistent: false }, (_event, name) => {
    if (name !== basename(statePath)) return;
    look().catch((cause: unknown) =>
      log.error("cannot read which DKIM key signs", { path: statePath }, cause),
    );
  });
  watcher.on("error", (cause) => log.error("cannot see when the next DKIM key takes over", {}, cause));
  await look();
  return { current: () => current, close: () => watcher.close() };
}

async function readSigningKey(path: string, domain: string, selector: string): Promise<SigningKey> {
  try {
    const key = createPrivateKey(await readFile(path));
    if (key.asymmetricKeyType !== "rsa")
      throw new Error(`it is of type ${key.asymmetricKeyType}, needed is RSA`);
    return { domain, selector, key };
  } catch (cause) {
    throw new DkimKeyError(
      `cannot use the DKIM key ${path}: homing-configure.service puts it there from ${dkimKeyPath(selector)}`,
      { cause },
    );
  }
}

async function hasTakenOver(statePath: string, next: SigningKey): Promise<boolean> {
  try {
    return (await readFile(statePath, "utf8")).trim() === next.selector;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
