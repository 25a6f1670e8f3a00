/**
 * What a relay wants of the DNS, from what the owner names: a relay folder, or a domain alone. Called by
 * commands/dns.ts and the wizard. Reads the folder.
 */
import { stat } from "node:fs/promises";
import { isIP } from "node:net";
import { canonicalValue } from "../../appliance/dns/record-set.ts";
import { relayRecords } from "../../appliance/dns/records.ts";
import { parseDomain } from "../../appliance/domain.ts";
import { noteAddresses, notedAddresses } from "../dns-records.ts";
import { readRelayFolder, relayIdentity } from "../relay-folder.ts";
import type { DesiredDns } from "./wanted.ts";

export type DesiredOptions = Readonly<{
  /** The relay's public addresses; none: those that the owner wrote into the folder's dns-records.txt. */
  addresses?: readonly string[];
  /** The account at the certificate authority, if known. */
  accountUri?: string;
}>;

/** What may be an address of the relay was given as one and is none. */
export class AddressError extends Error {
  override name = "AddressError";
}

/** The selector that new relays have (appliance/relay-settings.ts). */
const USUAL_SELECTOR = "homing1";

/** Null for a domain alone. */
export type Target = Readonly<{ desired: DesiredDns; folder: string | null }>;

/** A folder when there is one of that name, else a domain. Throws what readRelayFolder throws, DomainError and AddressError. */
export async function readDesired(target: string, options: DesiredOptions = {}): Promise<Target> {
  const isFolder = await stat(target).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder || /[/\\]/.test(target))
    return { desired: await desiredOfFolder(target, options), folder: target };
  const domain = parseDomain(target);
  const addresses = (options.addresses ?? []).map(addressOf);
  const { accountUri } = options;
  const records = relayRecords({
    domain,
    dkim: [],
    addresses,
    ...(accountUri !== undefined && { accountUri }),
  });
  return { desired: { domain, records, selectors: [USUAL_SELECTOR] }, folder: null };
}

/** Throws what readRelayFolder throws, and AddressError. */
export async function desiredOfFolder(folder: string, options: DesiredOptions = {}): Promise<DesiredDns> {
  const relay = await readRelayFolder(folder);
  const { domain, certificates } = relay.config;
  const { challenge } = certificates;
  const { accountUri } = options;
  const given = (options.addresses ?? []).map(addressOf);
  const addresses = given.length > 0 ? given : (await notedAddresses(folder, domain)).map(addressOf);
  const identity = { ...relayIdentity(relay), addresses, ...(accountUri !== undefined && { accountUri }) };
  return { domain, records: relayRecords(identity), challenge };
}

/** Keeps the addresses in the folder's dns-records.txt, so that later checks know them. */
export async function keepAddresses(folder: string, { domain, records }: DesiredDns): Promise<void> {
  const relay = await readRelayFolder(folder);
  const addresses = records.flatMap((record) =>
    record.name === domain && "address" in record ? [record.address] : [],
  );
  await noteAddresses(folder, relayIdentity(relay), addresses);
}

function addressOf(text: string): string {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) throw new AddressError(`“${text}” is no IP address`);
  return canonicalValue(family === 6 ? "AAAA" : "A", text);
}
