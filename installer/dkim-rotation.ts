/**
 * The change of a relay's DKIM key in its folder: a second key is made beside the first, and later the first goes.
 * The private key is written before the settings name it and removed after they have ceased to, so that a run that
 * was stopped is carried on by the next. Called by commands/keys.ts. I/O on the folder only, and on the DNS by the
 * resolvers passed in.
 */
import { createPublicKey, randomUUID } from "node:crypto";
import { link, lstat, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Resolvers, type ServerFinding, whereIsDkimKey } from "../appliance/dns/published.ts";
import { createSynced, syncDirectory } from "../appliance/durable.ts";
import { parseRelayConfig } from "../appliance/relay-config.ts";
import { dkimKeyPath, relayFilePaths } from "../appliance/relay-files.ts";
import { relayConfigSchema } from "../appliance/relay-settings.ts";
import { settingNotes } from "../appliance/setting-notes.ts";
import { setTomlText } from "../appliance/toml-edit.ts";
import { renameWhenFree } from "../image/rename.ts";
import {
  checkKey,
  makeDkimKey,
  type RelayFolder,
  RelayFolderError,
  readRelayFolder,
  SECRET_MODE,
} from "./relay-folder.ts";

export type Rotation = Readonly<{
  relay: RelayFolder;
  /** "made": now; "found": a key that an earlier run left behind; "under way": nothing was done. */
  outcome: "made" | "found" | "under way";
}>;

/** The DNS does not show the new key everywhere, so the relay still signs with the old one. */
export class NotPublishedError extends Error {
  override name = "NotPublishedError";
}

/** As in the settings (appliance/relay-settings.ts). */
const MAX_SELECTOR_LENGTH = 32;

/**
 * Makes the next key and names it in relay.toml; does nothing when there is one already. No file is overwritten but
 * relay.toml, and that as a whole. Throws RelayFolderError, RelayConfigError or TomlEditError.
 */
export async function beginRotation(directory: string): Promise<Rotation> {
  const relay = await readRelayFolder(directory);
  if (relay.config.dkim.nextSelector !== "") return { relay, outcome: "under way" };
  const { selector, isThere } = await nextSelector(directory, relay.config.dkim.selector);
  const path = join(directory, dkimKeyPath(selector));
  if (isThere) checkKey(path, await readFile(path), "rsa", "Move it away if it is no key of this relay.");
  else await putKey(path, await makeDkimKey());
  const changed = await changeSelectors(directory, { selector: relay.config.dkim.selector, next: selector });
  await removeLeftovers(join(directory, "keys"));
  return { relay: changed, outcome: isThere ? "found" : "made" };
}

/**
 * Makes the next key the only one and removes the old private key. `resolvers` null: without asking the DNS.
 * Throws NotPublishedError while the DNS does not show the new key everywhere, and what beginRotation throws.
 */
export async function endRotation(
  directory: string,
  resolvers: Resolvers | null,
): Promise<Readonly<{ relay: RelayFolder; retired: string }>> {
  const relay = await readRelayFolder(directory);
  const { domain, dkim } = relay.config;
  if (dkim.nextSelector === "") {
    throw new RelayFolderError(
      `the relay has one DKIM key, ${dkim.selector}, and that signs. Make the next one first: ./homing keys rotate-dkim`,
    );
  }
  if (resolvers !== null) {
    const pem = relay.files.get(dkimKeyPath(dkim.nextSelector))!;
    const name = `${dkim.nextSelector}._domainkey.${domain}`;
    const found = await whereIsDkimKey(name, createPublicKey(Buffer.from(pem)), resolvers);
    if (!found.everywhere) throw new NotPublishedError(notPublished(name, dkim.selector, found.findings));
  }
  const changed = await changeSelectors(directory, { selector: dkim.nextSelector, next: "" });
  await rm(join(directory, dkimKeyPath(dkim.selector)), { force: true });
  await syncDirectory(join(directory, "keys"));
  return { relay: changed, retired: dkim.selector };
}

function notPublished(name: string, signing: string, findings: readonly ServerFinding[]): string {
  const lines = findings.map(
    ({ server, address, state }) => `  ${server} ${address || "(no address)"}: ${state}`,
  );
  return [
    `not every name server shows ${name}, so the relay still signs with ${signing}, which stays:`,
    ...lines,
  ].join("\n");
}

/** The selector with the next number, and whether a run before has made its key. */
async function nextSelector(
  directory: string,
  current: string,
): Promise<Readonly<{ selector: string; isThere: boolean }>> {
  const [, stem = current, digits = "1"] = /^(.*?)(\d{1,9})$/.exec(current) ?? [];
  const pattern = new RegExp(`^dkim-${stem}(\\d{1,9})\\.pem$`);
  const later = (await readdir(join(directory, "keys")))
    .flatMap((name) => Number(pattern.exec(name)?.[1] ?? 0))
    .filter((number) => number > Number(digits))
    .sort((a, b) => a - b)[0];
  const selector = `${stem}${later ?? Number(digits) + 1}`;
  if (selector.length > MAX_SELECTOR_LENGTH) {
    throw new RelayFolderError(
      `no selector can follow ${current}: ${selector} is too long. Choose a shorter one by hand.`,
    );
  }
  return { selector, isThere: later !== undefined };
}

/** Written aside and then named, so that there is never half a key; fails when there is one of that name. */
async function putKey(path: string, content: Uint8Array): Promise<void> {
  const aside = besides(path);
  await createSynced(aside, content, SECRET_MODE);
  try {
    // Unlike renaming, this never replaces what somebody else has put there meanwhile.
    await link(aside, path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    // File systems without links: FAT, some network drives.
    if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"].includes(code)) throw error;
    if ((await lstat(path).catch(() => undefined)) !== undefined) throw error;
    await renameWhenFree(aside, path);
  } finally {
    await rm(aside, { force: true });
  }
  await syncDirectory(join(path, ".."));
}

/** A name beside the file for what shall become it; two programs at once have one each. */
function besides(path: string): string {
  return `${path}.${randomUUID()}.new`;
}

/** What runs left that were killed while they wrote a key. */
async function removeLeftovers(keys: string): Promise<void> {
  for (const name of await readdir(keys)) {
    if (/^dkim-.*\.pem\..*new$/.test(name)) await rm(join(keys, name), { force: true });
  }
}

/** Writes both selectors to relay.toml, reads everything again and makes sure that nothing else has changed. */
async function changeSelectors(
  directory: string,
  { selector, next }: Readonly<{ selector: string; next: string }>,
): Promise<RelayFolder> {
  const before = await readRelayFolder(directory);
  const { settings } = relayFilePaths(before.config);
  const path = join(directory, settings);
  const text = new TextDecoder().decode(before.files.get(settings));
  const values = { selector, next_selector: next };
  const changed = Object.entries(values).reduce(
    (current, [key, value]) => setTomlText(current, { section: "dkim", key, value, comment: noteOf(key) }),
    text,
  );
  const expected = { ...before.config, dkim: { selector, nextSelector: next } };
  if (JSON.stringify(parseRelayConfig(changed, path)) !== JSON.stringify(expected)) {
    throw new RelayFolderError(
      `${path} cannot be changed safely. Set dkim.selector to "${selector}" and dkim.next_selector to "${next}" by hand.`,
    );
  }
  const aside = besides(path);
  await createSynced(aside, Buffer.from(changed), SECRET_MODE);
  await renameWhenFree(aside, path);
  await syncDirectory(directory);
  return readRelayFolder(directory);
}

/** The comment above a setting of [dkim]. */
function noteOf(key: string): string {
  const { shape } = relayConfigSchema.shape.dkim.unwrap();
  return settingNotes.get(key === "selector" ? shape.selector : shape.nextSelector)?.comment ?? "";
}
