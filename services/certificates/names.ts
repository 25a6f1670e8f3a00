/**
 * Which names and addresses to ask a certificate for. The domain always; www and mta-sts only where they can be proved,
 * since one name that cannot spoils the whole order. Asks the resolver that is passed in. Called by look.ts.
 */
import { isIP, isIPv6 } from "node:net";
import type { NameLookups } from "../../appliance/dns/published.ts";
import { certificateNames } from "../../appliance/life/certificate.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { CertificateState } from "./state.ts";

/** The domain has no address in the DNS, or the DNS cannot be asked; the authority would find it as little. */
export class NoAddressError extends Error {
  override name = "NoAddressError";
}

/** What is certified beside the domain as soon as it can be. Addresses as authorities write them (RFC 5952). */
export function otherNames({ domain, certificates }: RelayConfig): string[] {
  return [
    ...certificateNames(domain).filter((name) => name !== domain),
    ...certificates.alsoForIp.map((ip) =>
      isIPv6(ip) ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip,
    ),
  ];
}

/**
 * The names for the next certificate, the domain first. `covered`: those of the present one, which stay where the DNS
 * gives no answer. Throws NoAddressError where an address is needed and there is none.
 */
export async function wantedNames(
  config: RelayConfig,
  state: CertificateState,
  lookups: NameLookups,
  now: number,
  covered: (name: string) => boolean,
): Promise<string[]> {
  const { domain, certificates } = config;
  const open = otherNames(config).filter((name) => (state.refused[name]?.retryAt ?? 0) <= now);
  // Records in the DNS prove a name whether or not it has an address.
  if (certificates.challenge === "dns-01") return [domain, ...open];
  const own = await addressesOf(domain, lookups);
  if (own === undefined)
    throw new NoAddressError("The DNS cannot be asked: does this network lead to the Internet?");
  if (own.length === 0) {
    throw new NoAddressError(
      `The name ${domain} has no address in the DNS yet: publish the records of dns-records.txt in your relay folder.`,
    );
  }
  const leadHere = await Promise.all(
    open.map(async (name) => {
      if (isIP(name) !== 0) return true;
      const addresses = await addressesOf(name, lookups);
      return addresses === undefined ? covered(name) : addresses.some((address) => own.includes(address));
    }),
  );
  return [domain, ...open.filter((_name, index) => leadHere[index])];
}

/** Of both families; undefined when nobody could say. */
async function addressesOf(name: string, lookups: NameLookups): Promise<string[] | undefined> {
  const answers = await Promise.all(
    [lookups.resolve4(name), lookups.resolve6(name)].map((answer) =>
      answer.catch((error: NodeJS.ErrnoException) => {
        if (error.code === undefined) throw error;
        return error.code === "ENOTFOUND" || error.code === "ENODATA" ? [] : undefined;
      }),
    ),
  );
  const known = answers.filter((answer) => answer !== undefined);
  const addresses = known.flat();
  return addresses.length === 0 && known.length < answers.length ? undefined : addresses;
}
