/**
 * Which credentials each registrar's interface needs, and their text as a file: for the settings and for the checks of a
 * relay folder, which shall not carry the providers themselves (providers/). Pure.
 */

/** The keys of the credentials by the provider's id; those that may be missing end in "?". */
export const providerFields = {
  cloudflare: ["token"],
  desec: ["token"],
  hetzner: ["token"],
  porkbun: ["api_key", "secret_key"],
  gandi: ["token", "sharing_id?"],
  digitalocean: ["token"],
  ovh: ["application_key", "application_secret", "consumer_key", "endpoint?"],
  njalla: ["token"],
  netcup: ["customer", "token", "password", "domain"],
  "netcup-cloud": ["token"],
  inwx: ["username", "password", "totp?"],
  linode: ["token"],
  vultr: ["token"],
  dnsimple: ["token"],
  namecom: ["username", "token"],
} as const;

export type RegistrarId = keyof typeof providerFields;
/** For an enumeration of settings. */
export const registrarIds = Object.keys(providerFields) as RegistrarId[];

/** The text is no file of credentials; the message says in which line, and never holds any of it. */
export class CredentialTextError extends Error {
  override name = "CredentialTextError";
}

/** Lines of the form `key = value`, the value with or without double quotes; empty lines and those after "#" do not count. */
export function parseCredentials(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.trim().startsWith("#")) continue;
    const [, key, value] = /^\s*([a-z_]+)\s*=\s*(\S.*?)\s*$/.exec(line) ?? [];
    if (key === undefined || value === undefined) {
      throw new CredentialTextError(`line ${index + 1} is not of the form “key = value”`);
    }
    values.set(key, value.replace(/^"(.*)"$/, "$1"));
  }
  return values;
}

/** Throws CredentialTextError unless the text has what the provider needs, and nothing else. */
export function checkCredentials(provider: RegistrarId, text: string): void {
  const values = parseCredentials(text);
  const fields: readonly string[] = providerFields[provider];
  const names = fields.map((field) => field.replace("?", ""));
  const missing = fields.find((field) => !field.endsWith("?") && !values.has(field));
  if (missing !== undefined) throw new CredentialTextError(`the line “${missing} = …” is missing`);
  const unknown = [...values.keys()].find((key) => !names.includes(key));
  if (unknown !== undefined) {
    throw new CredentialTextError(`there is no “${unknown}” at ${provider}; it has ${names.join(", ")}`);
  }
}
