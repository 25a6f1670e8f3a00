/**
 * The DNS records of a relay as people publish them: the text that `./homing init` and `./homing keys` print, which
 * also lies in the relay folder as dns-records.txt, so that nobody has to scroll back for it. It does not travel to
 * the device. Zone file format (RFC 1035 §5.1); writing the file is the only I/O.
 */
import { open, readFile, rm } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { type RelayIdentity, relayRecords, zoneText } from "../appliance/dns/records.ts";
import { renameWhenFree } from "../image/rename.ts";

export const dnsRecordsFile = "dns-records.txt";

/** Holds no secret: it is made to be handed to whoever looks after the domain. */
const FILE_MODE = 0o644;
/** An address of TEST-NET-1 (RFC 5737), which nobody has: shows the form of the one line that is to be filled in. */
const placeholderAddress = "192.0.2.1";

type Identity = Omit<RelayIdentity, "addresses">;

/** All records; without addresses, with a line to fill in for them. */
export function publicationText(identity: Identity, addresses: readonly string[] = []): string {
  const { domain } = identity;
  if (addresses.length > 0) return zoneText(relayRecords({ ...identity, addresses }));
  const records = zoneText(relayRecords({ ...identity, addresses: [placeholderAddress] }));
  return records.replace(
    ` ${placeholderAddress}\n`,
    ` ${placeholderAddress} ; put your public IPv4 address here
; With a public IPv6 address, also: ${domain}. 3600 IN AAAA ADDRESS
`,
  );
}

function fileText(identity: Identity, addresses: readonly string[]): string {
  return `; The DNS records of ${identity.domain}, to publish at the domain's provider.
; Homing writes this file anew when the relay's domain or keys have changed.

${publicationText(identity, addresses)}`;
}

/** Makes the file of that name, in a folder that has none. */
export async function writeDnsRecords(
  directory: string,
  identity: Identity,
  name = dnsRecordsFile,
  addresses: readonly string[] = [],
): Promise<void> {
  const file = await open(join(directory, name), "wx", FILE_MODE);
  try {
    await file.writeFile(fileText(identity, addresses));
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Writes the file anew when it is missing or lacks a record. One that has all of them stays as it is, with whatever
 * its owner has filled in. Returns its path.
 */
export async function renewDnsRecords(directory: string, identity: Identity): Promise<string> {
  const path = join(directory, dnsRecordsFile);
  const before = await readText(path);
  const wanted = recordLines(fileText(identity, [])).filter((line) => !line.includes(placeholderAddress));
  const there = new Set(recordLines(before));
  // More keys than the relay has is as wrong as fewer.
  const keys = (lines: Iterable<string>) => [...lines].filter((line) => line.includes("v=DKIM1")).length;
  // So is a record that forbids the authority of the settings.
  const forbids = (lines: Iterable<string>) => [...lines].some((line) => line.includes(" IN CAA "));
  const isWhole = wanted.every((line) => there.has(line)) && keys(there) === keys(wanted);
  if (isWhole && forbids(there) === forbids(wanted)) return path;
  await replaceFile(directory, identity, addressesIn(before, identity.domain));
  return path;
}

/** The relay's addresses as far as the file names them; none when there is no file. */
export async function notedAddresses(directory: string, domain: string): Promise<string[]> {
  return addressesIn(await readText(join(directory, dnsRecordsFile)), domain);
}

/** Writes the addresses into the file, anew, unless it names them already. */
export async function noteAddresses(
  directory: string,
  identity: Identity,
  addresses: readonly string[],
): Promise<void> {
  const before = await notedAddresses(directory, identity.domain);
  if (addresses.length === 0 || [...before].sort().join() === [...addresses].sort().join()) return;
  await replaceFile(directory, identity, addresses);
}

async function replaceFile(
  directory: string,
  identity: Identity,
  addresses: readonly string[],
): Promise<void> {
  const aside = `.${dnsRecordsFile}.part`;
  await rm(join(directory, aside), { force: true });
  await writeDnsRecords(directory, identity, aside, addresses);
  await renameWhenFree(join(directory, aside), join(directory, dnsRecordsFile));
}

/** Empty when there is no such file. */
async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
}

/** What the owner, or an earlier run, filled in for the address. */
function addressesIn(text: string, domain: string): string[] {
  return recordLines(text).flatMap((line) => {
    const [name = "", ...fields] = line.replace(/;.*$/, "").trim().split(" ");
    const address = fields.at(-1) ?? "";
    const isOurs = name.toLowerCase() === `${domain}.` && fields.some((field) => /^A(?:AAA)?$/i.test(field));
    return isOurs && isIP(address) !== 0 && address !== placeholderAddress ? [address] : [];
  });
}

/** The lines that are no comments, without differences of spacing. */
function recordLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim().replaceAll(/\s+/g, " "))
    .filter((line) => line !== "" && !line.startsWith(";"));
}
