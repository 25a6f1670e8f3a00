/**
 * The DKIM key that signs: the relay's, or the next one as soon as services/dkim has written down that the DNS shows
 * it. Both are read at the start, so that the change itself cannot fail. Called by service.ts.
 */
import { createPrivateKey } from "node:crypto";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { dkimKeyPath } from "../../appliance/relay-files.ts";
import type { Log } from "../lib/log.ts";
import type { SigningKey } from "./dkim-sign.ts";

/** A DKIM key cannot be used; the message says where it should be. */
class DkimKeyError extends Error {
  override name = "DkimKeyError";
}

/**
 * After what time a failed look is tried again, in milliseconds: soon at first, since the file is replaced in an
 * instant; then twice as long each time, up to a minute, for a disk that fails has to be mended by somebody.
 */
const RETRY_MS = { first: 250, most: 60_000 } as const;

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
  let isClosed = false;
  const look = async (): Promise<void> => {
    if (current === next || !(await hasTakenOver(statePath, next))) return;
    current = next;
    log.info("the next DKIM key signs from now on", { selector: next.selector });
  };
  let retry: NodeJS.Timeout | undefined;
  let wait: number = RETRY_MS.first;
  const lookAgain = (): void => {
    clearTimeout(retry);
    retry = setTimeout(lookUntilItWorks, wait).unref();
    wait = Math.min(wait * 2, RETRY_MS.most);
  };
  const lookUntilItWorks = (): void => {
    look().then(
      () => {
        wait = RETRY_MS.first;
      },
      (cause: unknown) => {
        log.error("cannot read which DKIM key signs", { path: statePath, nextLookMs: wait }, cause);
        if (!isClosed) lookAgain();
      },
    );
  };
  // The folder, not the file: the file is replaced, and may not be there yet. Before the first look, to miss nothing.
  const watcher = watch(dirname(statePath), { persistent: false }, (_event, name) => {
    if (name === basename(statePath)) lookUntilItWorks();
  });
  watcher.on("error", (cause) => log.error("cannot see when the next DKIM key takes over", {}, cause));
  // When this one fails, so does the start: signing with a key that may be withdrawn already is worse than waiting.
  await look();
  const close = (): void => {
    isClosed = true;
    clearTimeout(retry);
    watcher.close();
  };
  return { current: () => current, close };
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
