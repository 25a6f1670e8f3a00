/**
 * The relay's settings as the services see them: `homing-configure` validates relay.toml at boot and
 * writes the result as JSON; every service reads it once at its start.
 */
import { readFile } from "node:fs/promises";
import { runPaths } from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";

/** The settings file is missing or is not what `homing-configure` writes. */
export class SettingsError extends Error {
  override name = "SettingsError";
}

/** Every top-level part of RelayConfig; a file that lacks one was written by another version. */
const requiredParts: Readonly<Record<keyof RelayConfig, true>> = {
  domain: true,
  contact: true,
  signUp: true,
  accounts: true,
  messages: true,
  sending: true,
  dkim: true,
  certificates: true,
  wifi: true,
  ssh: true,
  metrics: true,
  push: true,
  turn: true,
  clients: true,
};

/**
 * Reads the settings.
 * @throws SettingsError naming the file and the mend.
 */
export async function loadRelayConfig(path: string = runPaths.relayConfig): Promise<RelayConfig> {
  const mend = "homing-configure.service writes it at every boot; see `systemctl status homing-configure`";
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new SettingsError(`cannot read the relay's settings ${path}: ${mend}`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SettingsError(`the relay's settings ${path} are not JSON: ${mend}`, { cause });
  }
  const missing = Object.keys(requiredParts).filter(
    (part) => typeof value !== "object" || value === null || !(part in value),
  );
  if (missing.length > 0) {
    throw new SettingsError(`the relay's settings ${path} lack ${missing.join(", ")}: ${mend}`);
  }
  return value as RelayConfig;
}
