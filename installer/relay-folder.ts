/**
 * A relay is a folder: `relay.toml` and `keys/`, with `dns-records.txt` for its owner. Made by `./homing init`, read by build and vm, which put
 * its files on the image's boot partition. The folder is the relay's identity: nothing here overwrites one.
 * Does I/O on the folder only.
 */
import { createPrivateKey, generateKeyPair, type KeyObject } from "node:crypto";
import { lstat, mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { getSystemErrorMessage, promisify } from "node:util";
import { letsEncryptDirectory } from "../appliance/certificate-settings.ts";
import { type DkimKey, dkimPublicKey, type RelayIdentity } from "../appliance/dns/records.ts";
import { createSynced, syncDirectory } from "../appliance/durable.ts";
import { checkOwnerFiles, OwnerFileError } from "../appliance/owner-files.ts";
import {
  maxRelayFileBytes,
  parseRelayConfig,
  type RelayConfig,
  type RelayOverrides,
  renderRelayToml,
} from "../appliance/relay-config.ts";
import {
  certificateSource,
  dkimKeyPath,
  ownerFilePaths,
  relayFilePaths,
  wifiPasswordPath,
} from "../appliance/relay-files.ts";
import { makeFolder } from "../image/make-folder.ts";
import { explainNoRoom } from "../image/no-room.ts";
import { renameWhenFree } from "../image/rename.ts";
import { writeDnsRecords } from "./dns-records.ts";
import { shellQuote } from "./shell-quote.ts";
import { readOperatorPages } from "./web-folder.ts";

const makeKeyPair = promisify(generateKeyPair);

/**
 * 2048 bits: what every receiver verifies (RFC 8301 §3.2) and what fits a DNS answer; more does not
 * fit many providers' TXT fields.
 */
const DKIM_KEY_BITS = 2048;

/** Everything in the folder is as secret as its keys, so the settings have this mode too. */
export const SECRET_MODE = 0o600;

/** Room for a new folder, with the blocks of its directories. In bytes. */
const FOLDER_BYTES = 100_000;
/** Which domain the keys were made for; stays on the builder's computer. */
const madeForFile = "keys/made-for";

/** The folder cannot be made or used; the message names the file and the mend. */
export class RelayFolderError extends Error {
  override name = "RelayFolderError";
}

/** What build and vm need of a relay. */
export type RelayFolder = Readonly<{
  config: RelayConfig;
  /** Content by path within the folder ("relay.toml", "keys/tls.pem"): what travels to the device, no more. */
  files: ReadonlyMap<string, Uint8Array>;
}>;

/**
 * Makes the folder with fresh keys, all or nothing: written aside, then renamed.
 * Throws RelayFolderError when anything is at `directory` already, DomainError for a wrong domain,
 * RelayConfigError for wrong overrides, and the signal's reason when it is aborted.
 */
export async function createRelayFolder(
  directory: string,
  domain: string,
  overrides: RelayOverrides = {},
  signal?: AbortSignal,
): Promise<RelayFolder> {
  const settings = renderRelayToml(domain, overrides);
  const config = parseRelayConfig(settings, "relay.toml");
  const target = resolve(directory);
  await refuseExisting(target);
  const aside = await makeAside(target);
  try {
    const files = await makeFiles(config, settings);
    await mkdir(join(aside, "keys"), { mode: 0o700 });
    for (const [path, content] of [...files, [madeForFile, Buffer.from(`${config.domain}\n`)] as const]) {
      signal?.throwIfAborted();
      await createSynced(join(aside, path), content, SECRET_MODE);
    }
    await writeDnsRecords(aside, relayIdentity({ config, files }));
    await syncDirectory(join(aside, "keys"));
    await syncDirectory(aside);
    signal?.throwIfAborted();
    const isTaken = async () => (await lstat(target).catch(() => undefined)) !== undefined;
    await renameWhenFree(aside, target, { isTaken }).catch(async (error) => {
      // Somebody else was quicker: say it in the same words as at the beginning.
      await refuseExisting(target);
      throw error;
    });
    await syncDirectory(dirname(target));
    return { config, files };
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw await explainNoRoom(error, target, FOLDER_BYTES, "Make room, or choose another place with --dir.");
  }
}

/** An empty folder (0700) beside the target: renaming is atomic only within one file system. */
async function makeAside(target: string): Promise<string> {
  const parent = dirname(target);
  try {
    await makeFolder(parent);
    return await mkdtemp(join(parent, `.${basename(target)}.`));
  } catch (error) {
    const { code = "", errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    const explained = await explainNoRoom(error, target, FOLDER_BYTES, "Choose another place with --dir.");
    if (explained !== error) throw explained;
    throw new RelayFolderError(
      `the relay folder ${target} cannot be made: ${parent}: ${getSystemErrorMessage(errno)} (${code})`,
      { cause: error },
    );
  }
}

async function refuseExisting(target: string): Promise<void> {
  const existing = await lstat(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!existing) return;
  const isRelay = await stat(join(target, "relay.toml")).then(
    () => true,
    () => false, // for whatever reason: the words below are true all the same
  );
  throw new RelayFolderError(
    isRelay
      ? `${target} exists already. A relay's keys are never overwritten: whoever has the old ones would be cut off. ` +
          "Choose another folder with --dir, or move the old one away yourself."
      : `${target} exists already, and a relay gets a new folder of its own. Choose another name with --dir.`,
  );
}

/** The files of a new relay. RSA takes some tenths of a second, in a thread of its own. */
async function makeFiles(config: RelayConfig, settings: string): Promise<Map<string, Uint8Array>> {
  const [dkim, tls, acme] = await Promise.all([
    makeDkimKey(),
    makeKeyPair("ec", { namedCurve: "P-256" }),
    makeKeyPair("ec", { namedCurve: "P-256" }),
  ]);
  const paths = relayFilePaths(config);
  return new Map<string, Uint8Array>([
    [paths.settings, Buffer.from(settings)],
    [paths.dkimKey, dkim],
    [paths.tlsKey, pem(tls)],
    [paths.acmeAccountKey, pem(acme)],
  ]);
}

/** A fresh DKIM key in PEM form. */
export async function makeDkimKey(): Promise<Uint8Array> {
  return pem(await makeKeyPair("rsa", { modulusLength: DKIM_KEY_BITS }));
}

function pem({ privateKey }: { privateKey: KeyObject }): Uint8Array {
  return Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }) as string);
}

/** The relay's DKIM keys as the DNS knows them: the one that signs, then the next one, if there is one. */
export function publicDkimKeys({ config, files }: RelayFolder): DkimKey[] {
  const { selector, nextSelector } = config.dkim;
  return [selector, nextSelector]
    .filter((each) => each !== "")
    .map((each) => {
      const privatePem = new TextDecoder().decode(files.get(dkimKeyPath(each)));
      return { selector: each, publicKey: dkimPublicKey(privatePem) };
    });
}

/** What the DNS is told of the relay. The names of other authorities in CAA records are not known: then none is asked for. */
export function relayIdentity(relay: RelayFolder): RelayIdentity {
  const { domain, certificates } = relay.config;
  const isUsual =
    certificates.acmeDirectory === letsEncryptDirectory && certificateSource(relay.config) === "acme";
  return { domain, dkim: publicDkimKeys(relay), ...(!isUsual && { authority: null }) };
}

/**
 * Reads and checks a relay folder. Throws RelayConfigError for wrong settings, RelayFolderError for a
 * missing or unusable key, and WebFolderError for page files that cannot be used.
 */
export async function readRelayFolder(directory: string): Promise<RelayFolder> {
  const { config, bytes: settings } = await readSettings(directory);
  await checkMadeFor(directory, config.domain);
  const paths = relayFilePaths(config);
  const files = new Map<string, Uint8Array>([[paths.settings, settings]]);
  const keys: [path: string, type: "rsa" | "ec"][] = [
    [paths.dkimKey, "rsa"],
    ...(paths.dkimNextKey === null ? [] : [[paths.dkimNextKey, "rsa"] satisfies [string, "rsa"]]),
    [paths.tlsKey, "ec"],
    [paths.acmeAccountKey, "ec"],
  ];
  for (const [path, type] of keys) {
    const mend = "Put it back from a backup of the folder; a new relay folder gets new keys.";
    const content = await readOrExplain(join(directory, path), mend);
    checkKey(join(directory, path), content, type, mend);
    files.set(path, content);
  }
  for (const [path, content] of await readOperatorPages(directory)) files.set(path, content);
  await addOwnerFiles(directory, config, files);
  return { config, files };
}

/**
 * Reads the settings alone, for what concerns neither keys nor pages. Throws RelayFolderError when there is no relay
 * folder, with the mend, and RelayConfigError for wrong settings.
 */
export async function readSettings(
  directory: string,
): Promise<Readonly<{ path: string; bytes: Uint8Array; text: string; config: RelayConfig }>> {
  const path = join(directory, "relay.toml");
  const bytes = await readOrExplain(path, await noFolderText(directory));
  const text = new TextDecoder().decode(bytes);
  return { path, bytes, text, config: parseRelayConfig(text, path) };
}

/** The certificate and secrets that the settings want from the owner (RelayFolderError when they are not right). */
async function addOwnerFiles(
  directory: string,
  config: RelayConfig,
  files: Map<string, Uint8Array>,
): Promise<void> {
  for (const path of ownerFilePaths(config)) {
    files.set(
      path,
      await readOrExplain(
        join(directory, path),
        `[${path === wifiPasswordPath ? "wifi" : "certificates"}] in relay.toml wants it.`,
      ),
    );
  }
  try {
    checkOwnerFiles(config, (path) => Buffer.from(files.get(path) ?? []).toString(), new Date());
  } catch (error) {
    if (!(error instanceof OwnerFileError)) throw error;
    throw new RelayFolderError(`${join(directory, "keys")}: ${error.message}`, { cause: error });
  }
}

/** What to do about a folder without settings. Throws RelayFolderError when it is no folder at all. */
async function noFolderText(directory: string): Promise<string> {
  const there = await stat(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (there === undefined) return `Make the folder with ./homing init DOMAIN --dir ${shellQuote(directory)}`;
  if (there.isDirectory()) return `So ${directory} is no relay folder; ./homing init DOMAIN makes one.`;
  throw new RelayFolderError(`${directory} is a file, not a relay folder; ./homing init DOMAIN makes one`);
}

/** Another domain in the settings would get the keys, and look like the relay, of the one they were made for. */
async function checkMadeFor(directory: string, domain: string): Promise<void> {
  const made = await readFile(join(directory, madeForFile), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return domain; // the folder is from before this file was written
    throw error;
  });
  if (made.trim() === domain) return;
  throw new RelayFolderError(
    `${join(directory, "relay.toml")} names the domain ${domain}, but the keys beside it were made for ` +
      `${made.trim()}, whose addresses, DNS records and clients belong to them. Put the old domain back; for ` +
      `another relay: ./homing init ${domain}`,
  );
}

async function readOrExplain(path: string, mend: string): Promise<Uint8Array> {
  try {
    const file = await stat(path);
    if (!file.isFile()) throw new RelayFolderError(`${path} is not a file. ${mend}`);
    if (file.size > maxRelayFileBytes) {
      throw new RelayFolderError(
        `${path} has ${file.size} bytes, at most ${maxRelayFileBytes} are allowed; is it the right file?`,
      );
    }
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new RelayFolderError(`${path} is missing. ${mend}`, { cause: error });
    throw error;
  }
}

/** Throws RelayFolderError unless the content is a usable key of the type; `mend` ends the message. */
export function checkKey(path: string, content: Uint8Array, type: "rsa" | "ec", mend: string): void {
  let key: KeyObject;
  try {
    key = createPrivateKey(Buffer.from(content));
  } catch (error) {
    throw new RelayFolderError(`${path} holds no private key in PEM form. ${mend}`, { cause: error });
  }
  if (key.asymmetricKeyType !== type) {
    throw new RelayFolderError(
      `${path} holds a key of type ${key.asymmetricKeyType}; needed is ${type}. ${mend}`,
    );
  }
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < DKIM_KEY_BITS) {
    throw new RelayFolderError(
      `${path} holds a key of ${bits} bits; needed are ${DKIM_KEY_BITS} or more. ${mend}`,
    );
  }
}
