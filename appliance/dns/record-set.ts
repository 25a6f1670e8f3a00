/**
 * The values of a zone as text, one form for all: providers and name servers write the same value in many ways, here
 * each becomes the canonical one of zone files (RFC 1035 §5.1), so that values compare as text. Pure; called by
 * providers, by the checks of a relay's records, and by whoever changes them.
 */
import { isIPv4, isIPv6 } from "node:net";
import type { DnsRecord, RecordData } from "./records.ts";

/**
 * All records of one name and type. `values` are canonical: host names absolute, in lower case, with the final dot;
 * TXT as one text in double quotes, which only whoever writes it out cuts into strings; `10 mail.example.org.`,
 * `0 1 443 example.org.`, `0 issue "letsencrypt.org"`.
 */
export type RecordSet = Readonly<{
  /** Absolute, lower case, no final dot. */
  name: string;
  type: string;
  /** Seconds. */
  ttl: number;
  values: readonly string[];
}>;

/** The text is no value of its type. */
export class RecordTextError extends Error {
  override name = "RecordTextError";
}

/** A TXT record is made of strings of at most this many octets (RFC 1035 §3.3.14). */
const MAX_STRING_BYTES = 255;
const MAX_16_BITS = 65_535;
/** After an address or alias that goes through the provider's proxy: it leads there then, and nothing but the web works. */
export const PROXIED = " proxied";
/** Types whose whole value is one host name. */
const hostTypes = ["CNAME", "NS", "PTR", "DNAME", "ALIAS", "ANAME"];

/** The canonical text of a record of ours. */
export function presentation(data: RecordData): string {
  switch (data.type) {
    case "A":
      return data.address;
    case "AAAA":
      return shortestIpv6(data.address);
    case "MX":
      return `${data.preference} ${host(data.exchange)}`;
    case "CNAME":
      return host(data.target);
    case "TXT":
      return txtValue(data.text);
    case "SRV":
      return `${data.priority} ${data.weight} ${data.port} ${host(data.target)}`;
    case "CAA":
      return `${data.flags} ${data.tag.toLowerCase()} ${quoted(Buffer.from(data.value))}`;
  }
}

/**
 * What a value says. Takes canonical text and what else providers write: no final dot (every host name counts as
 * absolute), TXT in one or more strings or bare, CAA without quotes. Throws RecordTextError, also for other types.
 */
export function recordData(type: string, text: string): RecordData {
  const fields = text.trim().split(/\s+/);
  const fail = () => new RecordTextError(`${JSON.stringify(text.slice(0, 80))} is no value of type ${type}`);
  const number = (at: number): number => {
    const value = fields[at] ?? "";
    if (!/^\d{1,5}$/.test(value) || Number(value) > MAX_16_BITS) throw fail();
    return Number(value);
  };
  const name = (at: number): string => {
    if (fields.length !== at + 1) throw fail();
    const value = fields[at]!.toLowerCase();
    if (value === "" || (value !== "." && /^\.|\.\.|["();]/.test(value))) throw fail();
    return value.replace(/\.$/, "");
  };
  switch (type) {
    case "A":
      if (!isIPv4(text.trim())) throw fail();
      return { type, address: text.trim() };
    case "AAAA":
      if (!isIPv6(text.trim()) || text.includes("%")) throw fail();
      return { type, address: shortestIpv6(text.trim()) };
    case "MX":
      return { type, preference: number(0), exchange: name(1) };
    case "CNAME":
      return { type, target: name(0) };
    case "TXT":
      return { type, text: txtOctets(text).toString() };
    case "SRV":
      return { type, priority: number(0), weight: number(1), port: number(2), target: name(3) };
    case "CAA": {
      const [, flags, tag, value] = /^(\d{1,3})\s+([A-Za-z0-9]+)\s+(\S.*)$/s.exec(text.trim()) ?? [];
      if (flags === undefined || tag === undefined || value === undefined || Number(flags) > 255)
        throw fail();
      return { type, flags: Number(flags), tag: tag.toLowerCase(), value: txtOctets(value).toString() };
    }
    default:
      throw fail();
  }
}

/**
 * The canonical text of a value as somebody else wrote it (see recordData). Types that relays do not use are only
 * tidied up. Throws RecordTextError.
 */
export function canonicalValue(type: string, text: string): string {
  // Octet by octet, since foreign texts need not be UTF-8.
  if (type === "TXT" || type === "SPF") return quoted(txtOctets(text));
  if (hostTypes.includes(type)) return presentation(recordData("CNAME", text));
  if (["A", "AAAA", "MX", "SRV", "CAA"].includes(type)) return presentation(recordData(type, text));
  if (text.trim() === "") throw new RecordTextError(`an empty value of type ${type}`);
  return text.trim().replaceAll(/\s+/g, " ");
}

/** Whether both say the same: neither order, TTL nor repetition counts, nor spaces within CAA (RFC 8659 §4.2). */
export function sameValues(a: RecordSet, b: RecordSet): boolean {
  const [left, right] = [a, b].map(
    ({ type, values }) => new Set(values.map((value) => meaning(type, value))),
  );
  return a.type === b.type && left!.size === right!.size && [...left!].every((value) => right!.has(value));
}

function meaning(type: string, value: string): string {
  return type === "CAA" ? value.replaceAll(/\s*([;=])\s*/g, "$1") : value;
}

/** Types by which providers answer with the addresses of another name; they refuse addresses beside them. */
const addressAliases: readonly string[] = ["ALIAS", "ANAME"];

/** Whether records of the two types cannot stand at one name: nothing stands beside a CNAME (RFC 1034 §3.6.2). */
export function excludeEachOther(a: string, b: string): boolean {
  if (a === b) return false;
  if (a === "CNAME" || b === "CNAME") return true;
  const isAddress = (type: string) => type === "A" || type === "AAAA";
  return (addressAliases.includes(a) && isAddress(b)) || (addressAliases.includes(b) && isAddress(a));
}

/** Whether both are the set of one name and type. */
export function isSameName(
  a: Pick<RecordSet, "name" | "type">,
  b: Pick<RecordSet, "name" | "type">,
): boolean {
  return a.name === b.name && a.type === b.type;
}

/** The records grouped by name and type, in their order. Of differing TTLs the least counts (RFC 2181 §5.2). */
export function recordSets(records: readonly DnsRecord[]): RecordSet[] {
  return groupValues(records.map((record) => ({ ...record, value: presentation(record) })));
}

export type ValueRow = Readonly<{ name: string; type: string; ttl: number; value: string }>;

/**
 * Single records, as most providers list them, grouped by name and type. Values that are not of their type (owners
 * type what they like) stay as they are: a listing must not fail for a foreign record.
 */
export function groupValues(rows: readonly ValueRow[]): RecordSet[] {
  const sets = new Map<string, { name: string; type: string; ttl: number; values: string[] }>();
  for (const { ttl, ...row } of rows) {
    const name = row.name.toLowerCase().replace(/\.$/, "");
    const type = row.type.toUpperCase();
    const value = tidyValue(type, row.value);
    const set = sets.get(`${name} ${type}`);
    if (set === undefined) sets.set(`${name} ${type}`, { name, type, ttl, values: [value] });
    else {
      if (!set.values.includes(value)) set.values.push(value);
      set.ttl = Math.min(set.ttl, ttl);
    }
  }
  return [...sets.values()];
}

/** The canonical text of a foreign value, or the value as it is when it is none of its type. */
export function tidyValue(type: string, value: string): string {
  try {
    return canonicalValue(type, value);
  } catch (error) {
    if (error instanceof RecordTextError) return value;
    throw error;
  }
}

/** The canonical value of a TXT record whose whole text this is, quotes and all. */
export function txtValue(text: string): string {
  return quoted(Buffer.from(text));
}

/** The text of a canonical TXT value: without quotes and escapes, uncut. */
export function txtText(value: string): string {
  return txtOctets(value).toString();
}

/** A canonical TXT value cut into quoted strings of at most 255 octets, as zone files have it. */
export function txtStrings(value: string): string[] {
  const bytes = txtOctets(value);
  const strings: string[] = [];
  for (let start = 0; start === 0 || start < bytes.length; start += MAX_STRING_BYTES) {
    strings.push(quoted(bytes.subarray(start, start + MAX_STRING_BYTES)));
  }
  return strings;
}

/** The octets of quoted strings, joined without anything between; of the bare text when it begins otherwise. */
export function txtOctets(text: string): Buffer {
  const trimmed = text.trim();
  if (!trimmed.startsWith('"')) return Buffer.from(text);
  const parts: Buffer[] = [];
  // Sticky: each match goes on where the last one ended, so that nothing is passed over.
  const string = /\s*"((?:[^"\\]|\\[\s\S])*)"/y;
  while (string.lastIndex < trimmed.length) {
    const found = string.exec(trimmed);
    if (found === null) throw new RecordTextError(`${JSON.stringify(text.slice(0, 80))} is no quoted text`);
    parts.push(unescaped(found[1]!));
  }
  return Buffer.concat(parts);
}

/** RFC 1035 §5.1: \DDD is an octet, a backslash before anything else means that very character. */
function unescaped(text: string): Buffer {
  const parts = text.match(/\\\d{3}|\\[\s\S]|[^\\]+/g) ?? [];
  return Buffer.concat(
    parts.map((part) => {
      if (!part.startsWith("\\")) return Buffer.from(part);
      const octet = /^\\(\d{3})$/.exec(part)?.[1];
      if (octet === undefined) return Buffer.from(part.slice(1));
      if (Number(octet) > 255) throw new RecordTextError(`${part} is no octet`);
      return Buffer.of(Number(octet));
    }),
  );
}

function quoted(bytes: Buffer): string {
  const text = bytes
    .toString("latin1")
    .replaceAll(/["\\]/g, "\\$&")
    .replaceAll(/[^ -~]/g, (char) => `\\${char.charCodeAt(0).toString().padStart(3, "0")}`);
  return `"${text}"`;
}

function host(name: string): string {
  return `${name.toLowerCase().replace(/\.$/, "")}.`;
}

/** RFC 5952, which the URL parser writes. */
function shortestIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
