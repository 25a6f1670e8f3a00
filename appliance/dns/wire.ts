/**
 * DNS messages as octets (RFC 1035 §4), as far as changing a zone needs them: writes questions and updates, reads
 * answers. Names are text in lower case without the final dot; the root is "". Called by tsig.ts and rfc2136.ts; pure.
 */
import { isIPv4 } from "node:net";
import type { RecordData } from "./records.ts";

/** The octets are no DNS message; servers are believed to send none, but the line may lead elsewhere. */
export class DnsFormatError extends Error {
  override name = "DnsFormatError";
}

/** RFC 1035 §3.2.2, §3.2.4; RFC 2136 §1.3; RFC 8945 §4.2. */
export const dnsTypes = {
  ...{ A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, DNAME: 39 },
  ...{ TSIG: 250, AXFR: 252, CAA: 257 },
} as const;
export const dnsClasses = { IN: 1, NONE: 254, ANY: 255 } as const;

const HEADER_BYTES = 12;
/** RFC 1035 §2.3.4. */
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
/** A TXT record is made of strings of at most this many bytes (RFC 1035 §3.3.14). */
const MAX_STRING_BYTES = 255;
/** No more fit into 64 KiB: each record has 11 octets at least (RFC 1035 §3.2.1). */
const MAX_RECORDS = 6000;

export type Question = Readonly<{ name: string; type: number; class: number }>;

/** A resource record; `data` stands at `dataStart` of the message that it came from, for names point back into it. */
export type ResourceRecord = Readonly<{
  name: string;
  type: number;
  class: number;
  ttl: number;
  data: Buffer;
  /** Where the record and its data begin in the message; both 0 in one that is to be written. */
  start: number;
  dataStart: number;
}>;

export type DnsMessage = Readonly<{
  id: number;
  /** Second and third field of the header: kind of message and its outcome. */
  flags: number;
  questions: readonly Question[];
  /** Answer, authority and additional section; in an update: prerequisites, changes, additional. */
  sections: readonly [
    answers: readonly ResourceRecord[],
    authority: readonly ResourceRecord[],
    more: readonly ResourceRecord[],
  ];
}>;

export type UpdateSections = Readonly<{ prerequisites?: readonly Buffer[]; updates?: readonly Buffer[] }>;

/** A name as octets, without compression. Throws DnsFormatError for one that fits no message. */
export function nameBytes(name: string): Buffer {
  const labels = name === "" ? [] : name.toLowerCase().split(".");
  const parts = labels.map((label) => {
    const bytes = Buffer.from(label, "latin1");
    if (bytes.length === 0 || bytes.length > MAX_LABEL_BYTES)
      throw new DnsFormatError(`${name} is no DNS name`);
    return Buffer.concat([Buffer.of(bytes.length), bytes]);
  });
  const whole = Buffer.concat([...parts, Buffer.of(0)]);
  if (whole.length > MAX_NAME_BYTES) throw new DnsFormatError(`${name} is too long for the DNS`);
  return whole;
}

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function recordBytes(record: Omit<ResourceRecord, "start" | "dataStart">): Buffer {
  const { name, type, ttl, data } = record;
  return Buffer.concat([
    ...[nameBytes(name), uint16(type), uint16(record.class), uint32(ttl)],
    ...[uint16(data.length), data],
  ]);
}

/**
 * Records are given as octets (recordBytes), since a signature has to follow them octet by octet. `prerequisites` and
 * `updates` are those of an update (RFC 2136 §2).
 */
export function messageBytes(
  id: number,
  flags: number,
  questions: readonly Question[],
  { prerequisites = [], updates = [] }: UpdateSections = {},
): Buffer {
  const counts = [questions.length, prerequisites.length, updates.length, 0];
  return Buffer.concat([
    ...[id, flags, ...counts].map(uint16),
    ...questions.flatMap(({ name, type, class: of }) => [nameBytes(name), uint16(type), uint16(of)]),
    ...prerequisites,
    ...updates,
  ]);
}

/** Throws DnsFormatError unless it is one whole message. */
export function parseMessage(bytes: Buffer): DnsMessage {
  if (bytes.length < HEADER_BYTES) throw new DnsFormatError("shorter than a header");
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  if (counts.reduce((sum, count) => sum + count, 0) > MAX_RECORDS)
    throw new DnsFormatError("too many records");
  let at = HEADER_BYTES;
  const take = (length: number): number => {
    const start = at;
    at += length;
    if (at > bytes.length) throw new DnsFormatError("ends in the middle of a record");
    return start;
  };
  const takeName = (): string => {
    const { name, end } = readName(bytes, at);
    at = end;
    return name;
  };
  const questions = Array.from({ length: counts[0]! }, (): Question => {
    const name = takeName();
    const start = take(4);
    return { name, type: bytes.readUInt16BE(start), class: bytes.readUInt16BE(start + 2) };
  });
  const section = (count: number) =>
    Array.from({ length: count }, (): ResourceRecord => {
      const start = at;
      const name = takeName();
      const fixed = take(10);
      const dataStart = take(bytes.readUInt16BE(fixed + 8));
      return {
        ...{ name, type: bytes.readUInt16BE(fixed), class: bytes.readUInt16BE(fixed + 2) },
        ...{ ttl: bytes.readUInt32BE(fixed + 4), data: bytes.subarray(dataStart, at), start, dataStart },
      };
    });
  const [id, flags] = [bytes.readUInt16BE(0), bytes.readUInt16BE(2)];
  const message = {
    id,
    flags,
    questions,
    sections: [section(counts[1]!), section(counts[2]!), section(counts[3]!)],
  };
  if (at !== bytes.length) throw new DnsFormatError("octets after the last record");
  return message as unknown as DnsMessage;
}

/** A name at a place, which may go on at an earlier place (RFC 1035 §4.1.4): always further back, so it ends. */
export function readName(bytes: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let [at, end, before, length] = [start, -1, start, 0];
  for (;;) {
    const size = bytes[at];
    if (size === undefined) throw new DnsFormatError("a name without an end");
    if (size >= 0xc0) {
      if (at + 1 >= bytes.length) throw new DnsFormatError("a name without an end");
      if (end < 0) end = at + 2;
      at = bytes.readUInt16BE(at) & 0x3fff;
      if (at >= before) throw new DnsFormatError("a name that points forward");
      before = at;
      continue;
    }
    if (size > MAX_LABEL_BYTES) throw new DnsFormatError("a label of unknown kind");
    if (size === 0) return { name: labels.join(".").toLowerCase(), end: end < 0 ? at + 1 : end };
    length += size + 1;
    if (length >= MAX_NAME_BYTES || at + 1 + size > bytes.length) throw new DnsFormatError("a name too long");
    labels.push(bytes.toString("latin1", at + 1, at + 1 + size));
    at += 1 + size;
  }
}

/** The data of a record (RFC 1035 §3.3, RFC 3596, RFC 2782, RFC 8659 §4.1). */
export function dataBytes(record: RecordData): Buffer {
  switch (record.type) {
    case "A":
      return Buffer.from(record.address.split(".").map(Number));
    case "AAAA":
      return ipv6Bytes(record.address);
    case "MX":
      return Buffer.concat([uint16(record.preference), nameBytes(record.exchange)]);
    case "CNAME":
      return nameBytes(record.target);
    case "TXT":
      return textBytes(Buffer.from(record.text));
    case "SRV":
      return Buffer.concat([
        ...[record.priority, record.weight, record.port].map(uint16),
        nameBytes(record.target),
      ]);
    case "CAA":
      return Buffer.concat([
        Buffer.of(record.flags, record.tag.length),
        Buffer.from(record.tag),
        Buffer.from(record.value),
      ]);
  }
}

/** A text cut into strings, each led by its length. */
export function textBytes(text: Buffer): Buffer {
  const strings: Buffer[] = [];
  for (let start = 0; start === 0 || start < text.length; start += MAX_STRING_BYTES) {
    const part = text.subarray(start, start + MAX_STRING_BYTES);
    strings.push(Buffer.of(part.length), part);
  }
  return Buffer.concat(strings);
}

/** What a record of a message says; undefined for types that Homing does not use. Throws DnsFormatError. */
export function readData(message: Buffer, { type, data, dataStart }: ResourceRecord): RecordData | undefined {
  const need = (length: number) => {
    if (data.length < length) throw new DnsFormatError("a record that is too short");
  };
  const nameAt = (offset: number) =>
    readName(message.subarray(0, dataStart + data.length), dataStart + offset).name;
  switch (type) {
    case dnsTypes.A:
      need(4);
      return { type: "A", address: data.subarray(0, 4).join(".") };
    case dnsTypes.AAAA:
      need(16);
      return { type: "AAAA", address: ipv6Text(data.subarray(0, 16)) };
    case dnsTypes.CNAME:
      return { type: "CNAME", target: nameAt(0) };
    case dnsTypes.MX:
      need(3);
      return { type: "MX", preference: data.readUInt16BE(0), exchange: nameAt(2) };
    case dnsTypes.SRV:
      need(7);
      return {
        ...{ type: "SRV", priority: data.readUInt16BE(0), weight: data.readUInt16BE(2) },
        ...{ port: data.readUInt16BE(4), target: nameAt(6) },
      };
    case dnsTypes.TXT:
      return { type: "TXT", text: joinStrings(data) };
    case dnsTypes.CAA: {
      need(2 + data[1]!);
      const valueStart = 2 + data[1]!;
      const [tag, value] = [data.toString("latin1", 2, valueStart), data.toString("latin1", valueStart)];
      return { type: "CAA", flags: data[0]!, tag, value };
    }
    default:
      return undefined;
  }
}

function joinStrings(data: Buffer): string {
  const strings: Buffer[] = [];
  for (let at = 0; at < data.length; at += 1 + data[at]!) {
    if (at + 1 + data[at]! > data.length) throw new DnsFormatError("a text without an end");
    strings.push(data.subarray(at + 1, at + 1 + data[at]!));
  }
  return Buffer.concat(strings).toString();
}

/** RFC 4291 §2.2; the address is valid (isIPv6) and without a zone. */
function ipv6Bytes(address: string): Buffer {
  // The last 32 bits may be written as an IPv4 address.
  const tail = address.slice(address.lastIndexOf(":") + 1);
  const text = isIPv4(tail)
    ? address.slice(0, -tail.length) +
      [0, 2].map((at) => Buffer.from(tail.split(".").map(Number)).readUInt16BE(at).toString(16)).join(":")
    : address;
  const [head = "", rest] = text.split("::");
  const groups = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [before, after] = [groups(head), groups(rest ?? "")];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return Buffer.concat([...before, ...zeros, ...after].map(uint16));
}

/** The text of RFC 5952, which the URL parser writes. */
function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
