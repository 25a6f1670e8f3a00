/**
 * The zone in which proofs are put (dns-01), as the settings name it: on a name server that takes changes, or at a
 * registrar by its interface. Called by main.ts; no request yet.
 */
import { anyZoneValues, type ZoneValues, zoneValues } from "../../appliance/dns/one-value.ts";
import type { ConnectOptions } from "../../appliance/dns/provider.ts";
import { parseCredentials } from "../../appliance/dns/provider-fields.ts";
import { providerById } from "../../appliance/dns/providers/providers.ts";
import { parseTsigSecret, rfc2136Provider } from "../../appliance/dns/rfc2136.ts";
import { parseDnsServer } from "../../appliance/dns/server-address.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";

/** Registrars' servers may take minutes to have a change; those of some take longer, as their descriptions say. */
const PUBLICATION_MINUTES = 10;

/** How long a record may take to be at all name servers, in milliseconds. */
export function publicationLimitMs({ dnsProvider }: RelayConfig["certificates"]): number {
  return (providerById(dnsProvider)?.publicationMinutes ?? PUBLICATION_MINUTES) * 60_000;
}

/** `secretText`: what keys/dns-update.key holds. */
export function openDns(
  certificates: RelayConfig["certificates"],
  secretText: string,
  connect: ConnectOptions = {},
): ZoneValues {
  const { dnsProvider } = certificates;
  if (dnsProvider !== "rfc2136") {
    const credentials = Object.fromEntries(parseCredentials(secretText));
    return anyZoneValues(providerById(dnsProvider)!.connect(credentials, connect));
  }
  const secret = parseTsigSecret(secretText);
  const server = parseDnsServer(certificates.rfc2136Server);
  // Both were checked when the relay folder was taken over.
  if (secret === undefined || server === undefined)
    throw new Error("keys/dns-update.key or rfc2136_server is damaged");
  const key = { name: certificates.rfc2136KeyName, algorithm: certificates.rfc2136Algorithm, secret };
  const zone = certificates.rfc2136Zone;
  return zoneValues(rfc2136Provider({ server, zone, key }), zone);
}
