/**
 * What the owner of a relay puts into its folder by hand: a certificate of his own with its key, the secret for
 * changes of the DNS, and the password of a Wi-Fi network. Checked when an image is built (installer/relay-folder.ts) and when the device takes the folder
 * over (life/import-relay.ts); pure.
 */
import { createPrivateKey } from "node:crypto";
import { CertificateChainError, checkCertificate, parseCertificateChain } from "./certificate-chain.ts";
import { CredentialTextError, checkCredentials } from "./dns/provider-fields.ts";
import { parseTsigSecret } from "./dns/rfc2136.ts";
import type { RelayConfig } from "./relay-config.ts";
import { relayFilePaths } from "./relay-files.ts";
import { wifiPasswordOf, wifiPasswordProblem } from "./wifi.ts";

/** One of the files is missing or cannot be used; the message names it and the mend. */
export class OwnerFileError extends Error {
  override name = "OwnerFileError";
}

/**
 * Throws OwnerFileError unless all files that the settings want are there and right. `contentOf`: the file's text, or
 * undefined when it is missing. `now`: leaves out what depends on the clock when it is not given.
 */
export function checkOwnerFiles(
  config: RelayConfig,
  contentOf: (path: string) => string | undefined,
  now?: Date,
): void {
  const { ownCertificate, ownCertificateKey, dnsUpdateKey, wifiPassword } = relayFilePaths(config);
  const need = (path: string, what: string): string => {
    const text = contentOf(path);
    if (text === undefined) throw new OwnerFileError(`${path} is missing: ${what}`);
    return text;
  };
  if (wifiPassword !== null) {
    const mend = `put there the password of the Wi-Fi network ${JSON.stringify(config.wifi.network)}, in one line`;
    const problem = wifiPasswordProblem(wifiPasswordOf(need(wifiPassword, mend)));
    if (problem !== undefined) throw new OwnerFileError(`${wifiPassword}: ${problem}; ${mend}`);
  }
  const { dnsProvider } = config.certificates;
  if (dnsUpdateKey !== null && dnsProvider !== "rfc2136") {
    const what = `the credentials for ${dnsProvider}, as lines like “token = …”, for challenge = “dns-01” in relay.toml`;
    try {
      checkCredentials(dnsProvider, need(dnsUpdateKey, `put there ${what}`));
    } catch (error) {
      if (!(error instanceof CredentialTextError)) throw error;
      throw new OwnerFileError(`${dnsUpdateKey} must hold ${what}: ${error.message}`, { cause: error });
    }
  } else if (dnsUpdateKey !== null) {
    const where = "the secret of the TSIG key, as Base64 in one line, for challenge = “dns-01” in relay.toml";
    if (parseTsigSecret(need(dnsUpdateKey, `put there ${where}`)) === undefined) {
      throw new OwnerFileError(`${dnsUpdateKey} must hold ${where}`);
    }
  }
  if (ownCertificate === null || ownCertificateKey === null) return;
  const wanted = "source = “files” in relay.toml wants it";
  const chain = need(ownCertificate, wanted);
  const keyPem = need(ownCertificateKey, wanted);
  if (!isPrivateKey(keyPem)) {
    throw new OwnerFileError(`${ownCertificateKey} holds no private key in PEM form without a password`);
  }
  try {
    const at = now === undefined ? {} : { at: now };
    checkCertificate(parseCertificateChain(chain), { keyPem, names: [config.domain], ...at });
  } catch (error) {
    if (!(error instanceof CertificateChainError)) throw error;
    throw new OwnerFileError(`the certificate in ${ownCertificate} ${error.message}`, { cause: error });
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    return false;
  }
}
