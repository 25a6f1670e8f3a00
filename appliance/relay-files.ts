/**
 * The names of the files in a relay folder, as far as its settings name them; the same on the computer and on the boot
 * partition. Used by the installer and the first boot, and by services/milter, which shall not carry the reader of
 * relay.toml (relay-config.ts). Pure.
 */
import { isTestDomain } from "./domain.ts";
import type { RelayConfig } from "./relay-config.ts";

export const wifiPasswordPath = "keys/wifi-password.txt";

/** The names of the files in a relay folder, the same on the computer and on the boot partition. */
export function relayFilePaths(config: RelayConfig) {
  return {
    settings: "relay.toml",
    dkimKey: dkimKeyPath(config.dkim.selector),
    /** The key that will take over, null when there is none. */
    dkimNextKey: config.dkim.nextSelector === "" ? null : dkimKeyPath(config.dkim.nextSelector),
    tlsKey: "keys/tls.pem",
    acmeAccountKey: "keys/acme-account.pem",
    /** The owner's own certificate and key, null unless the settings want them. */
    ownCertificate: certificateSource(config) === "files" ? "keys/certificate.pem" : null,
    ownCertificateKey: certificateSource(config) === "files" ? "keys/certificate-key.pem" : null,
    /** The secret for changes of the DNS, null unless the settings want it. */
    dnsUpdateKey:
      certificateSource(config) === "acme" && config.certificates.challenge === "dns-01"
        ? "keys/dns-update.key"
        : null,
    /** The password of the Wi-Fi network, null unless there is one that has a password. */
    wifiPassword: config.wifi.network !== "" && !config.wifi.open ? wifiPasswordPath : null,
  } as const;
}

/** Where this relay's certificate comes from: no authority and no owner's wish makes one for a test domain. */
export function certificateSource({
  domain,
  certificates,
}: RelayConfig): RelayConfig["certificates"]["source"] {
  return isTestDomain(domain) ? "self-signed" : certificates.source;
}

/** The private keys among them, as far as the settings name them. */
export function relayKeyPaths(config: RelayConfig): string[] {
  const { dkimKey, dkimNextKey, tlsKey, acmeAccountKey, ownCertificateKey } = relayFilePaths(config);
  return [dkimKey, dkimNextKey, tlsKey, acmeAccountKey, ownCertificateKey].filter((path) => path !== null);
}

/** What the owner puts into the folder by hand and may replace at any time, as far as the settings name it. */
export function ownerFilePaths(config: RelayConfig): string[] {
  const { ownCertificate, ownCertificateKey, dnsUpdateKey, wifiPassword } = relayFilePaths(config);
  return [ownCertificate, ownCertificateKey, dnsUpdateKey, wifiPassword].filter((path) => path !== null);
}

/** Where the DKIM key of a selector lies in a relay folder. */
export function dkimKeyPath(selector: string): string {
  return `keys/dkim-${selector}.pem`;
}
