/** The relay folders below the current one, for the first screen. Called by real-effects.ts; reads only. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { maxRelayFileBytes, parseRelayConfig, RelayConfigError } from "../../appliance/relay-config.ts";
import type { FoundRelay } from "./effects.ts";
import { shownPath } from "./folder-effects.ts";
import { readProgress } from "./progress-file.ts";

/** A current folder with more folders in it is no place where relays are made. */
const MAX_FOLDERS = 500;

/** Those that were worked on last come first. A folder with mistakes in its settings is left to ./homing build. */
export async function findRelays(below: string): Promise<FoundRelay[]> {
  const entries = await readdir(below, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).slice(0, MAX_FOLDERS);
  const relays = await Promise.all(folders.map(({ name }) => relayIn(below, name)));
  return relays
    .filter((relay) => relay !== undefined)
    .sort((a, b) => b.changed - a.changed)
    .map(({ relay }) => relay);
}

async function relayIn(
  below: string,
  name: string,
): Promise<Readonly<{ relay: FoundRelay; changed: number }> | undefined> {
  const path = join(below, name, "relay.toml");
  const file = await stat(path).catch(() => undefined); // whatever it is, it is no relay folder to go on with
  if (!file?.isFile() || file.size > maxRelayFileBytes) return undefined;
  const folder = shownPath(join(below, name));
  try {
    const { domain } = parseRelayConfig(await readFile(path, "utf8"), path);
    const kept = await readProgress(folder, domain);
    const progress = await stat(join(folder, "wizard.json")).catch(() => file);
    const relay = { folder, domain, kept: kept === "unreadable" ? undefined : kept };
    return { relay, changed: progress.mtimeMs };
  } catch (error) {
    if (error instanceof RelayConfigError || (error as NodeJS.ErrnoException).code === "EACCES")
      return undefined;
    throw error;
  }
}
