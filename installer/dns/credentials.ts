/**
 * The credentials for a provider: from environment variables, a file that only its owner can read, or typed in at the
 * terminal. Never from the command line, which others on the computer can see, and never written anywhere. Called by
 * commands/dns.ts. Reads the file that the owner names.
 */
import { readFile, stat } from "node:fs/promises";
import type { Credentials, ProviderDescription } from "../../appliance/dns/provider.ts";
import { CredentialTextError, parseCredentials } from "../../appliance/dns/provider-fields.ts";

/** The credentials are not there, or not safe; never holds any of them. */
export class CredentialsError extends Error {
  override name = "CredentialsError";
}

export type CredentialSources = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** Lines of the form `key = value`. */
  file?: string;
  /** Undefined where nobody can be asked. */
  ask?: (question: string, secret: boolean) => Promise<string>;
}>;

/** Others may read it: group, everybody. */
const OPEN_MODE_BITS = 0o077;
/** A private key has some thousands. In bytes. */
const MAX_FILE_BYTES = 65_536;

/** The name of the variable for a field: HOMING_DNS_CLOUDFLARE_TOKEN. */
export function credentialVariable(provider: string, key: string): string {
  return `HOMING_DNS_${provider}_${key}`.toUpperCase().replaceAll("-", "_");
}

/** Throws CredentialsError, and the system's errors of the file. */
export async function findCredentials(
  { id, name, credentials: fields, tokenHelp }: ProviderDescription,
  { env, file, ask }: CredentialSources,
): Promise<Credentials> {
  const fromFile = file === undefined ? new Map<string, string>() : await readCredentialFile(file);
  const unknown = [...fromFile.keys()].find((key) => !fields.some((field) => field.key === key));
  if (unknown !== undefined) {
    const known = fields.map(({ key }) => key).join(", ");
    throw new CredentialsError(`${file}: there is no “${unknown}” at ${name}; the keys are ${known}`);
  }
  const found: Record<string, string> = {};
  for (const { key, label, hint, secret, optional } of fields) {
    const variable = credentialVariable(id, key);
    const value = fromFile.get(key) ?? env[variable];
    if (value !== undefined && value.trim() !== "") found[key] = value.trim();
    else if (optional === true) continue;
    else if (ask !== undefined) found[key] = await ask(`${label} (${hint}): `, secret);
    else {
      throw new CredentialsError(
        `${name} needs “${label}” (${hint}): set ${variable}, or name a file by --credentials.\n${tokenHelp.join("\n")}`,
      );
    }
  }
  return found;
}

async function readCredentialFile(path: string): Promise<Map<string, string>> {
  const { mode, size } = await stat(path);
  if (process.platform !== "win32" && (mode & OPEN_MODE_BITS) !== 0) {
    throw new CredentialsError(`${path} can be read by others on this computer; run chmod 600 on it first`);
  }
  if (size > MAX_FILE_BYTES)
    throw new CredentialsError(`${path} has ${size} bytes; that is no file of credentials`);
  try {
    return parseCredentials(await readFile(path, "utf8"));
  } catch (error) {
    if (!(error instanceof CredentialTextError)) throw error;
    throw new CredentialsError(`${path}: ${error.message}`);
  }
}
