/**
 * Moves the relay folder from the boot partition to the data partition: the settings, the keys they name and the
 * operator's page files are copied, and only when the copy is on the medium, all that lies in the folder on the FAT is overwritten and removed.
 * People copy the folder as their computer shows it, so what else is in it (keys/made-for, .DS_Store, Thumbs.db,
 * ._tls.pem) is wiped unread. The power may go at any moment; the next boot carries on. Called by configure.ts.
 *
 * Order, and what a cut leaves behind:
 *   1. keys and page files to the          copied again
 *      data partition
 *   2. relay.toml to the data partition    from here on there is a relay; all of it copied again
 *   3. keys that it no longer names go     from the data partition; looked for again
 *      and page files that are not in it
 *   4. the mark `imported` on the FAT      from here on the FAT's files are never read again, only wiped
 *   5. wipe the FAT's folder, mark last    wiping goes on
 */
import { createPrivateKey } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { checkOwnerFiles, OwnerFileError } from "../owner-files.ts";
import { maxRelayFileBytes, parseRelayConfig, type RelayConfig } from "../relay-config.ts";
import { ownerFilePaths, relayFilePaths, relayKeyPaths } from "../relay-files.ts";
import { webFolderName } from "../web-files.ts";
import { type Disk, readIfPresent } from "./disk.ts";
import { ImportError } from "./import-error.ts";
import { readWebFolder } from "./import-web.ts";

export type ImportPlaces = Readonly<{
  /** Folder on the boot partition. */
  from: string;
  /** Folder on the data partition. */
  to: string;
  disk: Disk;
}>;

/** What became of the folder on the boot partition. */
export type ImportOutcome =
  /** There is none. */
  | Readonly<{ kind: "nothing" }>
  /** An earlier import was brought to its end. */
  | Readonly<{ kind: "wiped" }>
  /** `ignored`: paths in the folder that are no part of a relay; they are wiped as well. */
  | Readonly<{ kind: "imported"; ignored: readonly string[] }>;

/** File on the FAT that says: everything is on the data partition, wipe the rest. */
const markName = "imported";
const settingsName = "relay.toml";

/**
 * Imports and wipes.
 * @throws ImportError, leaving both sides as they were, so that a mistake can be corrected; RelayConfigError for a
 * wrong relay.toml.
 */
export async function importRelay(places: ImportPlaces): Promise<ImportOutcome> {
  const { from, to, disk } = places;
  const names = await listDirectory(from);
  if (names === undefined) return { kind: "nothing" };
  // Empty: the power went between the removal of the mark and that of the folder.
  if (names.includes(markName) || names.length === 0) {
    await wipeFolder(from, disk);
    return { kind: "wiped" };
  }
  const settings = await readLimited(from, settingsName);
  if (settings === undefined) {
    throw new ImportError(
      `the folder “relay” on the boot partition has no ${settingsName}: copy ${settingsName} and the folder ` +
        "“keys” of the relay folder into it, or build the image again",
    );
  }
  const config = parseRelayConfig(
    new TextDecoder().decode(settings),
    `${settingsName} on the boot partition`,
  );
  const keys = await readKeys(config, from);
  await requireSameRelay(config, to);
  const newKeys = await keysToWrite(config, keys, to);
  await requireKeys(config, keys, to);
  await requireOwnerFiles(config, keys, to);
  const web = await readWebFolder(join(from, webFolderName));
  if (web?.unusable !== undefined) {
    throw new ImportError(`the folder “${webFolderName}” on the boot partition holds ${web.unusable}`);
  }
  const known = new Set([settingsName, "keys", ...keys.keys(), ...(web?.paths ?? [])]);
  const ignored = (await readdir(from, { recursive: true })).filter((path) => !known.has(path)).sort();

  await disk.makeDirectory(join(to, "keys"), { mode: 0o700 });
  for (const [path, content] of newKeys) await disk.put(join(to, path), content, { mode: 0o600 });
  if (web !== undefined) await web.copyTo(join(to, webFolderName), disk, { directory: 0o700, file: 0o600 });
  await disk.put(join(to, settingsName), settings, { mode: 0o600 });
  await wipeOldKeys(config, to, disk);
  if (web !== undefined) await web.wipeOthers(join(to, webFolderName), disk);
  await disk.put(join(from, markName), "The relay is on the data partition now.\n", { mode: 0o600 });
  await wipeFolder(from, disk);
  return { kind: "imported", ignored };
}

/** The owner withdrew them (retire-dkim); their folder on the data partition holds nothing but keys. */
async function wipeOldKeys(config: RelayConfig, to: string, disk: Disk): Promise<void> {
  const named = allKeyPaths(config).map((path) => basename(path));
  for (const entry of await readdir(join(to, "keys"), { withFileTypes: true })) {
    if (entry.isFile() && !named.includes(entry.name)) await disk.wipe(join(to, "keys", entry.name));
  }
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

const allKeyPaths = (config: RelayConfig) => [
  ...new Set([...relayKeyPaths(config), ...ownerFilePaths(config)]),
];

/** The keys that the settings name and what belongs to them, as far as they are there, by path. */
async function readKeys(config: RelayConfig, from: string): Promise<Map<string, Buffer>> {
  const keys = new Map<string, Buffer>();
  const ownerFiles = ownerFilePaths(config);
  for (const path of allKeyPaths(config)) {
    const content = await readLimited(from, path);
    if (content === undefined) continue;
    if (ownerFiles.includes(path)) {
      keys.set(path, content);
      continue;
    }
    try {
      createPrivateKey(content);
    } catch (cause) {
      throw new ImportError(
        `relay/${path} on the boot partition is damaged: copy it again from the relay folder, or build the image again`,
        { cause },
      );
    }
    keys.set(path, content);
  }
  return keys;
}

/** The data partition belongs to one relay for good: accounts and mail carry its domain. */
async function requireSameRelay(config: RelayConfig, to: string): Promise<void> {
  const present = await readIfPresent(join(to, settingsName));
  if (present === undefined) return;
  const { domain } = parseRelayConfig(
    new TextDecoder().decode(present),
    `${settingsName} on the data partition`,
  );
  if (domain === config.domain) return;
  throw new ImportError(
    `this device is the relay ${domain} and keeps its accounts and mail; the boot partition brings ` +
      `${config.domain}. Use another card or disk for it, or erase this one first.`,
  );
}

/**
 * Keys that the data partition does not have yet. A key is never replaced: clients and the DNS know it. What the owner
 * brought himself is his to change.
 */
async function keysToWrite(
  config: RelayConfig,
  keys: ReadonlyMap<string, Buffer>,
  to: string,
): Promise<Map<string, Buffer>> {
  const missing = new Map<string, Buffer>();
  const started = (await readIfPresent(join(to, settingsName))) !== undefined;
  for (const [path, content] of keys) {
    const present = await readIfPresent(join(to, path));
    if (present?.equals(content)) continue;
    if (present !== undefined && started && !ownerFilePaths(config).includes(path)) {
      throw new ImportError(
        `relay/${path} on the boot partition differs from the key this relay has: remove it from the ` +
          "boot partition to keep the present one, or erase the device to begin anew",
      );
    }
    missing.set(path, content);
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
    if (keys.has(path)) continue;
    if ((await readIfPresent(join(to, path))) !== undefined) continue;
    throw new ImportError(
      `the relay has no ${path}, neither on the boot nor on the data partition: build the image again from ` +
        "the relay folder",
    );
  }
}

/** Without a look at the clock, which is not set yet. */
async function requireOwnerFiles(
  config: RelayConfig,
  keys: ReadonlyMap<string, Buffer>,
  to: string,
): Promise<void> {
  const contents = new Map<string, string>();
  for (const path of ownerFilePaths(config)) {
    const content = keys.get(path) ?? (await readIfPresent(join(to, path)));
    if (content !== undefined) contents.set(path, content.toString());
  }
  try {
    checkOwnerFiles(config, (path) => contents.get(path));
  } catch (error) {
    if (!(error instanceof OwnerFileError)) throw error;
    throw new ImportError(
      `relay/${error.message}. Correct it in the folder “relay” on the boot partition, or build the image again`,
      { cause: error },
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

/** A file of the folder on the boot partition, or undefined when there is none. */
async function readLimited(from: string, path: string): Promise<Buffer | undefined> {
  const file = await stat(join(from, path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  if (!file.isFile()) throw new ImportError(`relay/${path} on the boot partition is not a file`);
  if (file.size > maxRelayFileBytes) {
    throw new ImportError(
      `relay/${path} on the boot partition has ${file.size} bytes, at most ${maxRelayFileBytes} are allowed: ` +
        "is it the right file?",
    );
  }
  return readFile(join(from, path));
}
