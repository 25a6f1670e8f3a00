/**
 * What a relay wants of the DNS, from what the owner names: a relay folder, or a domain alone. Called by
 * commands/dns.ts and the wizard. Reads the folder.
 */
import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { canonicalValue } from "../../appliance/dns/record-set.ts";
import { relayRecords } from "../../appliance/dns/records.ts";
import { parseDomain } from "../../appliance/domain.ts";
import { dnsRecordsFile, placeholderAddress } from "../dns-records.ts";
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
  const { domain } = relay.config;
  const { accountUri } = options;
  const given = (options.addresses ?? []).map(addressOf);
  const addresses = given.length > 0 ? given : await noted(folder, domain);
  const identity = { ...relayIdentity(relay), addresses, ...(accountUri !== undefined && { accountUri }) };
  return { domain, records: relayRecords(identity) };
}

/** The addresses that the owner has filled in (installer/dns-records.ts). */
async function noted(folder: string, domain: string): Promise<string[]> {
  const text = await readFile(join(folder, dnsRecordsFile), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  return text.split("\n").flatMap((line) => {
    const [name = "", ...fields] = line.replace(/;.*$/, "").trim().split(/\s+/);
    const [address = ""] = fields.slice(-1);
    const isOurs = name.toLowerCase() === `${domain}.` && fields.some((field) => /^A(?:AAA)?$/i.test(field));
    return isOurs && isIP(address) !== 0 && address !== placeholderAddress ? [addressOf(address)] : [];
  });
}

function addressOf(text: string): string {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) throw new AddressError(`“${text}” is no IP address`);
  return canonicalValue(family === 6 ? "AAAA" : "A", text);
}
