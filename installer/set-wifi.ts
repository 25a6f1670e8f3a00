/**
 * Sets which Wi-Fi network a relay joins, in its folder: [wifi] in relay.toml and keys/wifi-password.txt. Called by
 * ./homing wifi and the wizard. I/O on the folder only.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { replaceDurably } from "../appliance/durable.ts";
import { parseRelayConfig, type RelayConfig } from "../appliance/relay-config.ts";
import { relayFilePaths, wifiPasswordPath } from "../appliance/relay-files.ts";
import { relayConfigSchema } from "../appliance/relay-settings.ts";
import { settingNotes } from "../appliance/setting-notes.ts";
import { setTomlValue, TomlEditError } from "../appliance/toml-edit.ts";
import {
  wifiCountryProblem,
  wifiKey,
  wifiNetworkProblem,
  wifiPasswordOf,
  wifiPasswordProblem,
} from "../appliance/wifi.ts";
import { readSettings, SECRET_MODE } from "./relay-folder.ts";

/** A network to join. */
export type Wifi = Readonly<{
  network: string;
  /** Two letters of ISO 3166; small ones are made large. */
  country: string;
  /** The network does not send out its name. */
  hidden?: boolean;
  /** null: the network has none. undefined: the one that is in the folder for this network already. */
  password?: string | null;
}>;

/** The network cannot be set; the message says why and holds no password. */
export class WifiError extends Error {
  override name = "WifiError";
}

/**
 * Sets the network, or none. What is kept of the password is the key that WPA2 makes of it together with the network's
 * name: it opens this network and betrays nothing that is used elsewhere as well. Returns the settings as they are now.
 * Throws WifiError, and what readSettings throws when there is no relay folder or relay.toml is not valid.
 */
export async function setWifi(folder: string, wifi: Wifi | null): Promise<RelayConfig> {
  const { path, text: before, config } = await readSettings(folder);
  const { wifi: settings } = config;
  if (wifi !== null) checkNetwork(wifi);
  const wanted: RelayConfig["wifi"] = {
    network: wifi?.network ?? "",
    country: wifi === null ? settings.country : wifi.country.toUpperCase(),
    hidden: wifi?.hidden ?? false,
    open: wifi?.password === null,
  };
  const passwordPath = join(folder, wifiPasswordPath);
  const key = wifi === null || wifi.password === null ? null : await keyFor(wifi, config, passwordPath);
  const after = changed(before, settings, wanted, path);
  const isSame = after === before;
  // The password first: a folder whose settings want one that is missing cannot be used.
  if (key !== null) {
    await mkdir(join(folder, "keys"), { mode: 0o700, recursive: true });
    await replaceDurably(passwordPath, `${key}\n`, { mode: SECRET_MODE });
  }
  if (!isSame) await replaceDurably(path, after, { mode: SECRET_MODE });
  if (key === null) await rm(passwordPath, { force: true });
  return { ...config, wifi: wanted };
}

/** The text with what differs changed in its lines. Throws WifiError when something else would change as well. */
function changed(text: string, now: RelayConfig["wifi"], wanted: RelayConfig["wifi"], path: string): string {
  const keys = (Object.keys(wanted) as (keyof typeof wanted)[]).filter((key) => now[key] !== wanted[key]);
  const { shape } = relayConfigSchema.shape.wifi.unwrap();
  try {
    const after = keys.reduce((lines, key) => {
      const comment = settingNotes.get(shape[key])?.comment ?? "";
      return setTomlValue(lines, { section: "wifi", key, value: wanted[key], comment });
    }, text);
    const before = parseRelayConfig(text, path);
    if (JSON.stringify(parseRelayConfig(after, path)) === JSON.stringify({ ...before, wifi: wanted }))
      return after;
  } catch (error) {
    if (!(error instanceof TomlEditError)) throw error;
    throw new WifiError(`${path}: ${error.message}. Nothing was changed.`, { cause: error });
  }
  const lines = Object.entries(wanted).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  throw new WifiError(
    `${path} is written in a way that cannot be changed safely, so it stays as it is. Write there, below [wifi]: ${lines.join(", ")}`,
  );
}

/** Throws WifiError unless the two can be; for whoever asks for the password only then. */
export function checkNetwork({ network, country }: Pick<Wifi, "network" | "country">): void {
  const problem = wifiNetworkProblem(network) ?? wifiCountryProblem(country.toUpperCase());
  if (problem !== undefined) throw new WifiError(problem);
}

/** The key to write. A key in the folder belongs to the name it was made with. */
async function keyFor(
  { network, password }: Wifi,
  config: RelayConfig,
  passwordPath: string,
): Promise<string> {
  const present =
    password ?? (relayFilePaths(config).wifiPassword && wifiPasswordOf(await readOrNone(passwordPath)));
  if (password === undefined && (!present || config.wifi.network !== network)) {
    throw new WifiError(`the password of the network ${JSON.stringify(network)} is needed`);
  }
  const problem = wifiPasswordProblem(present ?? "");
  if (problem !== undefined) throw new WifiError(problem);
  return wifiKey(network, present ?? "");
}

async function readOrNone(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
}
