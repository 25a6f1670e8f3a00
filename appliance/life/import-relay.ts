/**
 * Moves the relay folder from the boot partition to the data partition: settings and keys are copied, and
 * only when the copy is on the medium, what lies on the FAT is overwritten and removed. The power may go at
 * any moment; the next boot carries on. Called by boot.ts.
 *
 * Order, and what a cut leaves behind:
 *   1. keys to the data partition          copied again
 *   2. relay.toml to the data partition    from here on there is a relay; all of it copied again
 *   3. the mark `imported` on the FAT      from here on the FAT's files are never read again, only wiped
 *   4. wipe the FAT's folder, mark last    wiping goes on
 */
import { createPrivateKey } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseRelayConfig, type RelayConfig, relayFilePaths } from "../relay-config.ts";
import { type Disk, readIfPresent } from "./disk.ts";

/** The relay folder on the boot partition cannot be taken over. The text names the file and the mend. */
export class ImportError extends Error {
  override name = "ImportError";
}

export type ImportPlaces = Readonly<{
  /** Folder on the boot partition. */
  from: string;
  /** Folder on the data partition. */
  to: string;
  disk: Disk;
}>;

/** File on the FAT that says: everything is on the data partition, wipe the rest. */
const markName = "imported";
const settingsName = "relay.toml";
/** Far above any key or relay.toml; a larger file is something else. */
const maxFileBytes = 65_536;
const keyNamePattern = /^[a-z0-9][a-z0-9.-]{0,100}\.pem$/;

/**
 * Imports and wipes. Resolves to what happened: "nothing" when there is no folder on the boot partition,
 * "wiped" when an earlier import was brought to its end, else "imported".
 * @throws ImportError, leaving both sides as they were; RelayConfigError for a wrong relay.toml.
 */
export async function importRelay(places: ImportPlaces): Promise<"nothing" | "wiped" | "imported"> {
  const { from, to, disk } = places;
  const names = await listDirectory(from);
  if (names === undefined) return "nothing";
  // Empty: the power went between the removal of the mark and that of the folder.
  if (names.includes(markName) || names.length === 0) {
    await wipeFolder(from, disk);
    return "wiped";
  }
  if (!names.includes(settingsName)) {
    throw new ImportError(
      `the folder "relay" on the boot partition has no ${settingsName}: build the image again`,
    );
  }
  const settings = (await readLimited(join(from, settingsName))).toString("utf8");
  const config = parseRelayConfig(settings, `${settingsName} on the boot partition`);
  const keys = await readKeys(join(from, "keys"));
  await requireSameRelay(config, to);
  const newKeys = await keysToWrite(keys, to);
  await requireKeys(config, keys, to);

  await disk.makeDirectory(join(to, "keys"), { mode: 0o700 });
  for (const [name, content] of newKeys) await disk.put(join(to, "keys", name), content, { mode: 0o600 });
  await disk.put(join(to, settingsName), settings, { mode: 0o600 });
  await disk.put(join(from, markName), "The relay is on the data partition now.\n", { mode: 0o600 });
  await wipeFolder(from, disk);
  return "imported";
}

/** Wipes all files, keys first and the mark last, and removes the folders. */
async function wipeFolder(folder: string, disk: Disk): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.filter((entry) => entry.isDirectory())) {
    await wipeFolder(join(folder, entry.name), disk);
  }
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  for (const name of files.filter((name) => name !== markName)) await disk.wipe(join(folder, name));
  if (files.includes(markName)) await disk.wipe(join(folder, markName));
  await disk.removeDirectory(folder);
}

async function readKeys(folder: string): Promise<Map<string, Buffer>> {
  const keys = new Map<string, Buffer>();
  for (const name of (await listDirectory(folder)) ?? []) {
    if (!keyNamePattern.test(name)) {
      throw new ImportError(`relay/keys/${name} on the boot partition is no key file of a relay: remove it`);
    }
    const content = await readLimited(join(folder, name));
    try {
      createPrivateKey(content);
    } catch (cause) {
      throw new ImportError(
        `relay/keys/${name} on the boot partition is damaged: build the image again from the relay folder`,
        { cause },
      );
    }
    keys.set(name, content);
  }
  return keys;
}

/** The data partition belongs to one relay for good: accounts and mail carry its domain. */
async function requireSameRelay(config: RelayConfig, to: string): Promise<void> {
  const present = await readIfPresent(join(to, settingsName));
  if (present === undefined) return;
  const { domain } = parseRelayConfig(present.toString("utf8"), `${settingsName} on the data partition`);
  if (domain === config.domain) return;
  throw new ImportError(
    `this device is the relay ${domain} and keeps its accounts and mail; the boot partition brings ` +
      `${config.domain}. Use another card or disk for it, or erase this one first.`,
  );
}

/** Keys that the data partition does not have yet. A key is never replaced: clients and the DNS know it. */
async function keysToWrite(keys: ReadonlyMap<string, Buffer>, to: string): Promise<Map<string, Buffer>> {
  const missing = new Map<string, Buffer>();
  const started = (await readIfPresent(join(to, settingsName))) !== undefined;
  for (const [name, content] of keys) {
    const present = await readIfPresent(join(to, "keys", name));
    if (present?.equals(content)) continue;
    if (present !== undefined && started) {
      throw new ImportError(
        `relay/keys/${name} on the boot partition differs from the key this relay has: remove it from the ` +
          "boot partition to keep the present one, or erase the device to begin anew",
      );
    }
    missing.set(name, content);
  }
  return missing;
}

async function requireKeys(
  config: RelayConfig,
  keys: ReadonlyMap<string, Buffer>,
  to: string,
): Promise<void> {
  const { dkimKey, dkimNextKey, tlsKey } = relayFilePaths(config);
  for (const path of [dkimKey, ...(dkimNextKey === null ? [] : [dkimNextKey]), tlsKey]) {
    if (keys.has(path.replace(/^keys\//, ""))) continue;
    if ((await readIfPresent(join(to, path))) !== undefined) continue;
    throw new ImportError(
      `the relay has no ${path}, neither on the boot nor on the data partition: build the image again from ` +
        "the relay folder",
    );
  }
}

/** Names in the directory, or undefined when there is none. */
async function listDirectory(path: string): Promise<string[] | undefined> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readLimited(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > maxFileBytes) {
    throw new ImportError(
      `${path} has ${size} bytes, at most ${maxFileBytes} are allowed: is it the right file?`,
    );
  }
  return readFile(path);
}
