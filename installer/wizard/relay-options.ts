/**
 * The wizard's settings in relay.toml. A file that its owner has formatted or commented anew is not rewritten. Called by
 * real-effects.ts; I/O on the relay folder only.
 */
import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createSynced } from "../../appliance/durable.ts";
import { parseRelayConfig, type RelayConfig, renderRelayToml } from "../../appliance/relay-config.ts";
import { SECRET_MODE } from "../relay-folder.ts";
import type { Options } from "./effects.ts";

/** relay.toml was changed by hand, so the wizard leaves it alone; the message says what to write into it. */
export class OptionsByHandError extends Error {
  override name = "OptionsByHandError";
}

const settingsFile = "relay.toml";

export function optionsOf({ signUp, contact, certificates, ssh }: RelayConfig): Options {
  return {
    signUp: signUp.mode,
    contact,
    email: certificates.email,
    authorizedKeys: ssh.authorizedKeys,
  };
}

/**
 * Writes what differs. Throws OptionsByHandError when the file is not as Homing writes it, RelayConfigError when it is
 * not valid.
 */
export async function writeOptions(folder: string, wanted: Options): Promise<Options> {
  const path = join(folder, settingsFile);
  const before = await readFile(path, "utf8");
  const config = parseRelayConfig(before, path);
  const { domain, ...settings } = config;
  if (JSON.stringify(optionsOf(config)) === JSON.stringify(wanted)) return wanted;
  if (renderRelayToml(domain, settings) !== before) {
    throw new OptionsByHandError(
      `${path} was changed by hand, so it stays as it is. Set it there: sign_up.mode, contact, ` +
        "certificates.email, ssh.authorized_keys; then go back.",
    );
  }
  const after = renderRelayToml(domain, {
    ...settings,
    contact: wanted.contact,
    signUp: { ...settings.signUp, mode: wanted.signUp },
    certificates: { ...settings.certificates, email: wanted.email },
    ssh: { ...settings.ssh, authorizedKeys: [...wanted.authorizedKeys] },
  });
  const aside = join(folder, `.${settingsFile}.part`);
  await rm(aside, { force: true });
  await createSynced(aside, Buffer.from(after), SECRET_MODE);
  await rename(aside, path);
  return optionsOf(parseRelayConfig(after, path));
}
