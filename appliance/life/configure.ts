/**
 * All that a boot does to a device, in order, below a root folder (the device's "/", a temporary folder in
 * tests). Called by boot.ts.
 */
import { execFile } from "node:child_process";
import { createPrivateKey, createPublicKey, randomBytes, randomInt } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Machine } from "../files/capacity.ts";
import { deviceFiles } from "../files/device-files.ts";
import { authorizedKeysPath, sshHostKeyPath } from "../files/ssh.ts";
import {
  bootRelayDirectory,
  DATA_VERSION,
  dataDirectory,
  dataPaths,
  dataProblemPath,
  HOMING_VERSION,
  runDirectory,
  runPaths,
  users,
} from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { certificateSource, relayFilePaths, relayKeyPaths } from "../relay-files.ts";
import { type Disk, readIfPresent, readIfReadable, realDisk } from "./disk.ts";
import { ImportError } from "./import-error.ts";
import type { ImportPlaces } from "./import-relay.ts";
import { layOutWebPages } from "./import-web.ts";
import { keepCertificate } from "./keep-certificate.ts";
import { readKeptSettings } from "./kept-settings.ts";
import { type Owners, readOwners } from "./owners.ts";
import { writeTurn } from "./turn.ts";
import { writeWifi } from "./wifi.ts";

/** The device cannot become a relay as it is. */
export class ConfigureError extends Error {
  override name = "ConfigureError";
}

export type ConfigureOptions = Readonly<{
  root: string;
  /** Lines for the console and the log. */
  say(text: string): void;
  now: Date;
  machine: Machine;
  disk?: Disk;
  /** File of the program that this is part of; without it no settings are kept. */
  program?: string;
}>;

type Device = Readonly<{
  at(path: string): string;
  say(text: string): void;
  disk: Disk;
  owners: Owners;
  now: Date;
  machine: Machine;
  program: string | undefined;
}>;

/** @throws ConfigureError, ImportError, RelayConfigError and the like; and the errors of the disk. */
export async function configureDevice(options: ConfigureOptions): Promise<RelayConfig> {
  const { root, say, now, machine, disk = realDisk, program } = options;
  await requireDataPartition(root);
  const device: Device = {
    at: (path) => join(root, path),
    say,
    disk,
    owners: await readOwners(root),
    now,
    machine,
    program,
  };
  const dataVersion = await requireKnownData(device);
  await takeOverRelay(device);
  const config = await readSettings(device);
  await keepDataVersion(device, dataVersion);
  await keepMachineId(device);
  const { keyPem } = await keepCertificate(device, config);
  if (config.ssh.authorizedKeys.length > 0) await keepSshHostKey(device);
  await writeSecrets(device, config, keyPem);
  await writeWifi(device, config);
  await writeTurn(device, config);
  await writeConfiguration(device, config);
  await layOutWebPages(device);
  say(`this is the relay ${config.domain}`);
  return config;
}

/** Without it, accounts would be made in memory and lost: strangers could take them over after a restart. */
async function requireDataPartition(folder: string): Promise<void> {
  const problem = (await readIfPresent(join(folder, dataProblemPath)))?.toString().trim();
  if (problem !== undefined) {
    throw new ConfigureError(
      `${problem}.\nNothing was formatted or deleted: accounts and mail may still be there. Copy the whole card or ` +
        "disk before you try to mend it; to begin anew, without them, write a new image.",
    );
  }
  if (folder !== "/") return;
  const [data, root] = await Promise.all([stat(dataDirectory), stat("/")]);
  if (data.dev !== root.dev) return;
  throw new ConfigureError(
    `the data partition is not mounted at ${dataDirectory}: the card or disk may be damaged or too small`,
  );
}

/** Version of the data and the system that wrote it; version 0 when that is not said or cannot be read. */
async function readDataVersion({ at, say }: Device) {
  const text = (await readIfReadable(at(dataPaths.version), say))?.toString();
  const [version = "", by = ""] = text?.split("\n") ?? [];
  return { version: /^\d{1,9}$/.test(version) ? Number(version) : 0, by };
}

/** What the version is. The initramfs asks first, so that nothing is written; a container has none. */
async function requireKnownData(device: Device): Promise<number> {
  const { version, by } = await readDataVersion(device);
  if (version <= DATA_VERSION) return version;
  throw new ConfigureError(
    `the data partition is of version ${version} (${by}), this system knows version ${DATA_VERSION} at most: ` +
      "start a newer one",
  );
}

/** Only once there is a relay: an empty partition belongs to any version. */
async function keepDataVersion({ at, disk }: Device, found: number): Promise<void> {
  if (found === DATA_VERSION) return;
  const content = `${DATA_VERSION}\nHoming ${HOMING_VERSION}\n`;
  await disk.put(at(dataPaths.version), content, { mode: 0o444 });
}

/** Names of files that people's computers leave in a folder are listed up to this many. */
const maxListed = 20;

async function takeOverRelay({ at, say, disk }: Device): Promise<void> {
  const places = { from: at(bootRelayDirectory), to: at(dataPaths.relay), disk };
  await rm(at(runPaths.importProblem), { force: true });
  try {
    // Nothing of the reader of relay.toml is loaded before it is needed (kept-settings.ts).
    if (!(await isThere(places.from))) return;
    const { importRelay } = await import("./import-relay.ts");
    const outcome = await importRelay(places);
    if (outcome.kind === "imported") {
      say("the relay was moved to the data partition, its keys wiped from the boot partition");
      if (outcome.ignored.length > 0)
        say(`wiped unread, for they are no part of a relay: ${list(outcome.ignored)}`);
    }
    if (outcome.kind === "wiped") say("the rest of an earlier import was wiped from the boot partition");
  } catch (error) {
    // A relay that works is stopped neither by a mistake in what shall change it nor by a bad sector.
    if (!(await hasCompleteRelay(places))) throw error;
    const isMistake =
      error instanceof ImportError || (error instanceof Error && error.name === "RelayConfigError");
    const problem = isMistake
      ? `NOT TAKEN OVER from the boot partition, going on with the settings in use: ${error.message}`
      : "NOT TAKEN OVER (or not to the end) from the boot partition because of an error of the disk, going on with " +
        `the settings on the data partition: ${String(error)}`;
    const text = `${problem}\n${keysOnCard}`;
    say(text);
    // For the last words on the console (status.ts).
    await mkdir(dirname(at(runPaths.importProblem)), { recursive: true });
    await writeFile(at(runPaths.importProblem), `${text}\n`);
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

const keysOnCard =
  "The folder “relay” stays on the boot partition, with any private keys in it: whoever has the card can read them. " +
  "Correct the folder or delete it, then start again.";

/** As JSON: a name may hold whatever a file system allows. */
function list(names: readonly string[]): string {
  const shown = names.slice(0, maxListed).map((name) => JSON.stringify(name));
  const more = names.length - shown.length;
  return shown.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Whether the data partition has settings that are right and the keys that they name. */
async function hasCompleteRelay({ to }: ImportPlaces): Promise<boolean> {
  try {
    const settings = await readFile(join(to, "relay.toml"));
    const { parseRelayConfig } = await import("../relay-config.ts");
    const config = parseRelayConfig(new TextDecoder().decode(settings), "relay.toml");
    for (const path of relayKeyPaths(config)) {
      // Nothing on the device needs the account key of the certificate authority to start.
      if (path === relayFilePaths(config).acmeAccountKey) continue;
      createPrivateKey(await readFile(join(to, path)));
    }
    return true;
  } catch {
    return false;
  }
}

async function readSettings(device: Device): Promise<RelayConfig> {
  const { at, program } = device;
  const toml = await readIfPresent(at(`${dataPaths.relay}/relay.toml`));
  if (toml === undefined) {
    throw new ConfigureError(
      "there is no relay on this device: the boot partition has no folder “relay”, and nothing was imported " +
        "before. Build an image from a relay folder (homing build) and write it anew.",
    );
  }
  const keep = program === undefined ? undefined : { path: at(dataPaths.keptSettings), program };
  return readKeptSettings({ toml, name: "relay.toml on the data partition" }, keep, device);
}

/**
 * The machine's id (machine-id(5)) stays the same: DHCP servers and logs know the device by it. The
 * initramfs brings a kept one to /etc before systemd starts; the first boot's is made by systemd and kept here.
 */
async function keepMachineId({ at, say, disk }: Device): Promise<void> {
  const current = (await readIfPresent(at("/etc/machine-id")))?.toString().trim() ?? "";
  const kept = (await readIfReadable(at(dataPaths.machineId), say))?.toString().trim();
  if (kept === undefined && /^[0-9a-f]{32}$/.test(current)) {
    await disk.put(at(dataPaths.machineId), `${current}\n`, { mode: 0o444 });
  } else if (kept !== current) {
    say(`this boot runs with the machine id ${current || "(none)"} instead of ${kept ?? "(none)"}`);
  }
}

async function keepSshHostKey({ at, say, disk }: Device): Promise<void> {
  const path = at(sshHostKeyPath);
  if (await isThere(path)) return;
  // Made in memory, since a power cut must not leave half a key. The private key comes last.
  await mkdir(at(runDirectory), { recursive: true });
  const folder = await mkdtemp(at(`${runDirectory}/ssh-`));
  const fresh = join(folder, "key");
  await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", fresh]);
  await disk.put(`${path}.pub`, await readFile(`${fresh}.pub`), { mode: 0o644 });
  await disk.put(path, await readFile(fresh), { mode: 0o600 });
  await rm(folder, { recursive: true });
  say("made the SSH host key");
}

/** services/auth/home-pin.ts says how often one may guess. */
const PIN_DIGITS = 8;

/** What the services need of the relay's secrets, each readable only by the one that needs it. In memory. */
async function writeSecrets(device: Device, config: RelayConfig, tlsKeyPem: string): Promise<void> {
  const { at, disk, owners } = device;
  const milterGroup = { uid: owners.uid("root"), gid: owners.gid(users.milter.name) };
  await disk.makeDirectory(at(dirname(runPaths.dkimKey)), { mode: 0o750, ...milterGroup });
  const dkim = await readFile(at(`${dataPaths.relay}/${relayFilePaths(config).dkimKey}`));
  await disk.put(at(runPaths.dkimKey), dkim, { mode: 0o440, ...milterGroup });
  const publicHalf = (key: Buffer) => createPublicKey(key).export({ type: "spki", format: "pem" });
  await disk.put(at(runPaths.dkimPublicKey), publicHalf(dkim), { mode: 0o644 });
  const { dkimNextKey } = relayFilePaths(config);
  if (dkimNextKey === null) {
    for (const path of [runPaths.dkimNextKey, runPaths.dkimNextPublicKey])
      await rm(at(path), { force: true });
  } else {
    const next = await readFile(at(`${dataPaths.relay}/${dkimNextKey}`));
    await disk.put(at(runPaths.dkimNextKey), next, { mode: 0o440, ...milterGroup });
    await disk.put(at(runPaths.dkimNextPublicKey), publicHalf(next), { mode: 0o644 });
  }

  if ((await readIfPresent(at(runPaths.homePin))) === undefined) {
    const pin = String(randomInt(10 ** PIN_DIGITS)).padStart(PIN_DIGITS, "0");
    const authGroup = { uid: owners.uid("root"), gid: owners.gid(users.auth.name) };
    await disk.put(at(runPaths.homePin), pin, { mode: 0o440, ...authGroup });
  }

  await disk.makeDirectory(at(dirname(runPaths.tlsKey)), { mode: 0o700 });
  await disk.put(at(runPaths.tlsKey), tlsKeyPem, { mode: 0o600 });
  await writeAuthorityKeys(device, config);

  const authPair = { uid: owners.uid(users.auth.name), gid: owners.gid(users.dovecotAuth.name) };
  await disk.makeDirectory(at(dirname(runPaths.authSecret)), { mode: 0o550, ...authPair });
  // One secret per boot: when this runs again, the services still hold the old one.
  if ((await readIfPresent(at(runPaths.authSecret))) !== undefined) return;
  await disk.put(at(runPaths.authSecret), randomBytes(32).toString("hex"), { mode: 0o440, ...authPair });
}

/** For services/certificates, which runs only where they are. */
async function writeAuthorityKeys({ at, disk, say }: Device, config: RelayConfig): Promise<void> {
  if (certificateSource(config) !== "acme") {
    await rm(at(dirname(runPaths.acmeAccountKey)), { recursive: true, force: true });
    return;
  }
  const { acmeAccountKey, dnsUpdateKey } = relayFilePaths(config);
  await disk.makeDirectory(at(dirname(runPaths.acmeAccountKey)), { mode: 0o700 });
  const pairs = [
    [runPaths.dnsUpdateKey, dnsUpdateKey],
    [runPaths.acmeAccountKey, acmeAccountKey],
  ] as const;
  for (const [path, from] of pairs) {
    // What asks the authority says what it lacks; mail goes without.
    const content = from === null ? undefined : await readIfReadable(at(`${dataPaths.relay}/${from}`), say);
    await disk.put(at(path), content ?? "", { mode: 0o600 });
  }
}

async function writeConfiguration({ at, disk, owners, machine }: Device, config: RelayConfig): Promise<void> {
  await rm(at(authorizedKeysPath), { force: true });
  for (const file of deviceFiles(config, machine)) {
    const attributes = { mode: file.mode, uid: owners.uid(file.owner), gid: owners.gid(file.group) };
    await disk.makeDirectory(at(dirname(file.path)), { mode: 0o755 });
    await disk.put(at(file.path), file.content, attributes);
  }
}
