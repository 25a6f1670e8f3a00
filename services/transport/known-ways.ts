/**
 * Writes down which way to a domain is known: services/auth reads it when Postfix asks for the way
 * (appliance/mail-routes.ts), and this service after a restart. Called by service.ts.
 */
import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { type KnownWay, parseKnownWays, renderKnownWays } from "../../appliance/mail-routes.ts";
import type { Log } from "../lib/log.ts";

/** Until the file is written, mail goes the way of the unknown, which is right for all, only not the shortest. */
const INTERVAL_MS = 2000;

/** Empty when there is no file: since the machine started nothing was known. */
export async function readKnownWays(path: string): Promise<ReadonlyMap<string, KnownWay>> {
  const text = await readFile(path, "latin1").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return parseKnownWays(text);
}

/** Writes the file whenever it is to change, from now on. @returns what ends that, with what is known then. */
export function startKnownWays(
  options: Readonly<{
    path: string;
    knownWays: () => ReadonlyMap<string, KnownWay>;
    log: Log;
  }>,
): () => Promise<void> {
  let written: string | undefined;
  let writing = Promise.resolve();
  const write = async () => {
    const text = renderKnownWays(options.knownWays());
    if (text === written) return;
    try {
      await writeFile(`${options.path}.new`, text);
      // Another user's process reads it; the umask of services (appliance/files/sandbox.ts) is against that.
      await chmod(`${options.path}.new`, 0o644);
      await rename(`${options.path}.new`, options.path);
      written = text;
    } catch (cause) {
      options.log.error("cannot write down the ways to other domains", { path: options.path }, cause);
    }
  };
  const timer = setInterval(() => {
    writing = writing.then(write);
  }, INTERVAL_MS);
  writing = write();
  return async () => {
    clearInterval(timer);
    await writing;
    await write();
  };
}
