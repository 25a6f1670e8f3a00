/**
 * The credentials for a provider in the relay folder, for owners who asked for that: `key = value`, readable for them
 * alone, as `./homing dns apply --credentials` takes them. They stay on this computer: build copies no such file. Called by
 * folder-effects.ts; I/O on that file only.
 */
import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Credentials } from "../../appliance/dns/provider.ts";
import { providerById } from "../../appliance/dns/providers/providers.ts";
import { replaceDurably } from "../../appliance/durable.ts";
import { CredentialsError, findCredentials } from "../dns/credentials.ts";
import { SECRET_MODE } from "../relay-folder.ts";
import type { Finding } from "./effects.ts";

const accessFile = "dns-credentials.txt";

/** Gives the path. */
export async function keepAccess(folder: string, credentials: Credentials): Promise<string> {
  const path = join(folder, accessFile);
  const lines = Object.entries(credentials).map(([key, value]) => `${key} = ${value}\n`);
  await replaceDurably(path, lines.join(""), { mode: SECRET_MODE });
  return path;
}

/** None when there is no such file, or none that can be used, which is told. */
export async function readAccess(
  folder: string,
  provider: string | undefined,
): Promise<Readonly<{ credentials: Credentials; findings: readonly Finding[] }>> {
  const none = { credentials: {}, findings: [] };
  const description = provider === undefined ? undefined : providerById(provider);
  const file = join(folder, accessFile);
  const isThere = await access(file).then(
    () => true,
    () => false, // for whatever reason: then it is asked for
  );
  if (description === undefined || !isThere) return none;
  try {
    return { credentials: await findCredentials(description, { env: {}, file }), findings: [] };
  } catch (error) {
    if (!(error instanceof CredentialsError)) throw error;
    return { ...none, findings: [{ mark: "warning", text: error.message }] };
  }
}
