/**
 * The values of records in DNS messages as canonical text and back, for all types: those that nobody here knows by name
 * are octets (RFC 3597 §5). Called by rfc2136.ts; pure.
 */
import { canonicalValue, presentation, RecordTextError, recordData, txtOctets } from "./record-set.ts";
import {
  dataBytes,
  dnsTypes,
  nameBytes,
  type ResourceRecord,
  readData,
  readName,
  textBytes,
} from "./wire.ts";

/** Types with a name but without a form of their own here (IANA, "Resource Record (RR) TYPEs"). */
const otherTypes = {
  ...{ NAPTR: 35, DS: 43, SSHFP: 44, RRSIG: 46, NSEC: 47, DNSKEY: 48, NSEC3: 50, NSEC3PARAM: 51 },
  ...{ TLSA: 52, CDS: 59, CDNSKEY: 60, OPENPGPKEY: 61, CSYNC: 62, ZONEMD: 63, SVCB: 64, HTTPS: 65 },
} as const;
const types: Readonly<Record<string, number>> = { ...dnsTypes, ...otherTypes };
const hostTypes: readonly number[] = [dnsTypes.NS, dnsTypes.PTR, dnsTypes.DNAME];

/** RFC 3597 §5: "TYPE" and the number for those without a name. Undefined when it is no type. */
export function typeNumber(type: string): number | undefined {
  const number = types[type] ?? Number(/^TYPE(\d{1,5})$/.exec(type)?.[1] ?? Number.NaN);
  return Number.isInteger(number) && number <= 0xffff ? number : undefined;
}

export function typeName(number: number): string {
  return Object.entries(types).find(([, one]) => one === number)?.[0] ?? `TYPE${number}`;
}

/** Throws DnsFormatError. */
export function rdataText(message: Buffer, record: ResourceRecord): string {
  const { type, data, dataStart } = record;
  const within = message.subarray(0, dataStart + data.length);
  if (hostTypes.includes(type)) return canonicalValue("NS", `${readName(within, dataStart).name}.`);
  if (type === dnsTypes.SOA) {
    const primary = readName(within, dataStart);
    const owner = readName(within, primary.end);
    const numbers = [0, 4, 8, 12, 16].map((at) => message.readUInt32BE(owner.end + at));
    return `${primary.name}. ${owner.name}. ${numbers.join(" ")}`;
  }
  if (type === dnsTypes.TXT) return textValue(data);
  const known = readData(message, record);
  return known === undefined ? `\\# ${data.length} ${data.toString("hex")}`.trimEnd() : presentation(known);
}

/**
 * The data as it stands by itself: the names in it written out. Texts and unknown types stay to the octet, for a server
 * compares those as they are; nobody here changes a SOA.
 */
export function rdataOf(message: Buffer, record: ResourceRecord): Buffer {
  const type = typeName(record.type);
  const text = rdataText(message, record);
  const isKept = ["TXT", "SOA"].includes(type) || text.startsWith("\\#");
  return isKept ? record.data : rdataBytes(type, text);
}

/** The data of a value to be written. Throws RecordTextError for what cannot be. */
export function rdataBytes(type: string, value: string): Buffer {
  const [, length, hex] = /^\\# (\d{1,5})((?: [0-9a-f]+)?)$/i.exec(value) ?? [];
  if (hex !== undefined) {
    const data = Buffer.from(hex.trim(), "hex");
    if (data.length !== Number(length)) throw new RecordTextError(`${value} has another length than it says`);
    return data;
  }
  if (type === "TXT") return textBytes(txtOctets(value));
  if (hostTypes.includes(types[type] ?? 0)) return nameBytes(canonicalValue(type, value).replace(/\.$/, ""));
  return dataBytes(recordData(type, value));
}

/** The strings of a TXT record joined, octet by octet. */
function textValue(data: Buffer): string {
  let text = "";
  for (let at = 0; at < data.length; at += 1 + data[at]!) {
    for (const octet of data.subarray(at + 1, at + 1 + data[at]!))
      text += `\\${String(octet).padStart(3, "0")}`;
  }
  return canonicalValue("TXT", `"${text}"`);
}
