/**
 * The wizard's settings in relay.toml: what was answered is changed in its line, and everything else stays as its owner
 * wrote it. Called by folder-effects.ts; I/O on the relay folder only.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type * as z from "zod";
import { createSynced, syncDirectory } from "../../appliance/durable.ts";
import { parseRelayConfig, type RelayConfig } from "../../appliance/relay-config.ts";
import { relayConfigSchema } from "../../appliance/relay-settings.ts";
import { settingNotes } from "../../appliance/setting-notes.ts";
import { setTomlValue, TomlEditError, type TomlSetting } from "../../appliance/toml-edit.ts";
import { renameWhenFree } from "../../image/rename.ts";
import { SECRET_MODE } from "../relay-folder.ts";
import type { Options } from "./effects.ts";

/** relay.toml is written in a way that cannot be changed safely; the message says what to write into it. */
export class OptionsByHandError extends Error {
  override name = "OptionsByHandError";
}

const settingsFile = "relay.toml";

export function optionsOf({ signUp, contact, certificates, ssh, wifi }: RelayConfig): Options {
  return {
    signUp: signUp.mode,
    contact,
    email: certificates.email,
    authorizedKeys: ssh.authorizedKeys,
    wifi: { network: wifi.network, country: wifi.country, open: wifi.open },
  };
}

/**
 * Changes what differs from the answers and nothing else; the Wi-Fi is set-wifi.ts's. Throws OptionsByHandError when a setting is written in a way
 * that it does not know, RelayConfigError when the file is not valid.
 */
export async function writeOptions(folder: string, wanted: Options): Promise<Options> {
  const path = join(folder, settingsFile);
  const before = await readFile(path, "utf8");
  const config = parseRelayConfig(before, path);
  const now = optionsOf(config);
  const changed = (Object.keys(places) as LineOption[]).filter((each) => !isSame(now[each], wanted[each]));
  if (changed.length === 0) return now;
  const after = changed.reduce(
    (text, each) => setOne(text, path, { ...places[each], value: wanted[each] }),
    before,
  );
  const result = parseRelayConfig(after, path);
  const expected: RelayConfig = {
    ...config,
    contact: wanted.contact,
    signUp: { ...config.signUp, mode: wanted.signUp },
    certificates: { ...config.certificates, email: wanted.email },
    ssh: { ...config.ssh, authorizedKeys: [...wanted.authorizedKeys] },
  };
  if (!isSame(result, expected)) throw new OptionsByHandError(byHand(path));
  const aside = join(folder, `.${settingsFile}.part`);
  await rm(aside, { force: true });
  await createSynced(aside, Buffer.from(after), SECRET_MODE);
  await renameWhenFree(aside, path);
  await syncDirectory(folder);
  return optionsOf(result);
}

const { shape } = relayConfigSchema;
const commentOf = (setting: z.ZodType) => settingNotes.get(setting)?.comment ?? "";
/** The Wi-Fi has a file of its own besides (installer/set-wifi.ts). */
type LineOption = Exclude<keyof Options, "wifi">;

/** Where each answer stands in relay.toml. */
const places: Readonly<Record<LineOption, Omit<TomlSetting, "value">>> = {
  contact: { section: undefined, key: "contact", comment: commentOf(shape.contact) },
  signUp: { section: "sign_up", key: "mode", comment: commentOf(shape.signUp.unwrap().shape.mode) },
  email: {
    ...{ section: "certificates", key: "email" },
    comment: commentOf(shape.certificates.unwrap().shape.email),
  },
  authorizedKeys: {
    ...{ section: "ssh", key: "authorized_keys" },
    comment: commentOf(shape.ssh.unwrap().shape.authorizedKeys),
  },
};

function setOne(text: string, path: string, setting: TomlSetting): string {
  try {
    return setTomlValue(text, setting);
  } catch (error) {
    if (!(error instanceof TomlEditError)) throw error;
    throw new OptionsByHandError(`${path}: ${error.message}; then go back. Nothing was changed.`, {
      cause: error,
    });
  }
}

function byHand(path: string): string {
  return (
    `${path} is written in a way that cannot be changed safely, so it stays as it is. Set it there: sign_up.mode, ` +
    "contact, certificates.email, ssh.authorized_keys; then go back."
  );
}

const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
