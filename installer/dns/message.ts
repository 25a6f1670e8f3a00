/**
 * Questions to name servers and their answers as octets (RFC 1035 §4), with what diagnosing needs beyond
 * appliance/dns/wire.ts: EDNS (RFC 6891), the flags of DNSSEC (RFC 4035 §3.2), and a server's own words about what went
 * wrong (RFC 8914). Pure; called by exchange.ts and https-exchange.ts, and by whoever reads their answers.
 */
import {
  DnsFormatError,
  type DnsMessage,
  dnsClasses,
  messageBytes,
  parseMessage,
  type ResourceRecord,
  readName,
  recordBytes,
} from "../../appliance/dns/wire.ts";

/** Those that only diagnosing asks for: RFC 1035 §3.2.2, RFC 6891 §6.1.1, RFC 4034. */
export const diagnosticTypes = { NS: 2, OPT: 41, DS: 43, RRSIG: 46, DNSKEY: 48 } as const;

/** RFC 1035 §4.1.1. */
export const outcomes = { none: 0, formatError: 1, serverFailure: 2, noSuchName: 3, refused: 5 } as const;

export type DnsQuestion = Readonly<{ name: string; type: number }>;

export type QuestionOptions = Readonly<{
  /** Ask a resolver to find out (RD) rather than a name server for what it has. */
  recursion?: boolean;
  /** Take also what does not verify (CD, RFC 4035 §3.2.2). */
  unchecked?: boolean;
  /** Show signatures (DO, RFC 3225). */
  signatures?: boolean;
}>;

export type DnsAnswer = Readonly<{
  bytes: Buffer;
  message: DnsMessage;
  /** RFC 1035 §4.1.1 (RCODE). */
  outcome: number;
  /** The server has the zone itself (AA). */
  authoritative: boolean;
  /** It cut the answer to the size of a datagram (TC). */
  truncated: boolean;
  /** It is a resolver (RA). */
  recursive: boolean;
  /** It says that the answer verifies by DNSSEC (AD). */
  verified: boolean;
  /** Its explanations (RFC 8914 §2), as code and text. */
  explanations: readonly Readonly<{ code: number; text: string }>[];
}>;

const flagBits = { answer: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursion: 0x0100 } as const;
const dnssecBits = { recursive: 0x0080, verified: 0x0020, unchecked: 0x0010 } as const;
/** The opcode's place; ours is 0, QUERY. */
const OPCODE_BITS = 0x7800;
/** The DO bit within the TTL field of EDNS (RFC 6891 §6.1.4). */
const DNSSEC_OK = 0x8000;
/** Fits every path unbroken; what is longer comes by TCP (DNS Flag Day 2020, RFC 9715 §3.1). In bytes. */
const DATAGRAM_BYTES = 1232;
/** RFC 8914 §2. */
const EXTENDED_ERROR = 15;
/** Explanations are for people; nobody needs more of one. In characters. */
const MAX_EXPLANATION_LENGTH = 200;

/** The question; without EDNS for servers too old for it, where nothing about signatures can be asked. */
export function questionBytes(
  id: number,
  question: DnsQuestion,
  options: QuestionOptions,
  edns = true,
): Buffer {
  const flags = (options.recursion ? flagBits.recursion : 0) | (options.unchecked ? dnssecBits.unchecked : 0);
  const message = messageBytes(id, flags, [{ ...question, class: dnsClasses.IN }]);
  if (!edns) return message;
  const ttl = options.signatures ? DNSSEC_OK : 0;
  const extension = recordBytes({
    ...{ name: "", type: diagnosticTypes.OPT, class: DATAGRAM_BYTES, ttl, data: Buffer.alloc(0) },
  });
  message.writeUInt16BE(1, 10); // one record in the additional section
  return Buffer.concat([message, extension]);
}

/** Throws DnsFormatError unless the octets answer this very question. */
export function readAnswer(bytes: Buffer, id: number, question: DnsQuestion): DnsAnswer {
  const message = parseMessage(bytes);
  const { flags, questions } = message;
  if (message.id !== id || (flags & flagBits.answer) === 0 || (flags & OPCODE_BITS) !== 0) {
    throw new DnsFormatError("no answer to the question");
  }
  const [asked] = questions;
  // Servers that understood nothing may leave the question out.
  const echoes = asked?.name === question.name && asked.type === question.type && questions.length === 1;
  const outcome = flags & 0xf;
  if (!echoes && !(questions.length === 0 && outcome !== outcomes.none)) {
    throw new DnsFormatError("an answer to another question");
  }
  return {
    ...{ bytes, message, outcome },
    authoritative: (flags & flagBits.authoritative) !== 0,
    truncated: (flags & flagBits.truncated) !== 0,
    recursive: (flags & dnssecBits.recursive) !== 0,
    verified: (flags & dnssecBits.verified) !== 0,
    explanations: explanationsOf(message),
  };
}

function explanationsOf(message: DnsMessage): { code: number; text: string }[] {
  const data = message.sections[2].find(({ type }) => type === diagnosticTypes.OPT)?.data;
  const found: { code: number; text: string }[] = [];
  for (let at = 0; data !== undefined && at + 4 <= data.length; ) {
    const [option, length] = [data.readUInt16BE(at), data.readUInt16BE(at + 2)];
    const value = data.subarray(at + 4, at + 4 + length);
    if (option === EXTENDED_ERROR && value.length >= 2) {
      const text = value.toString("utf8", 2).replaceAll(/[^ -~]/g, "?");
      found.push({ code: value.readUInt16BE(0), text: text.slice(0, MAX_EXPLANATION_LENGTH) });
    }
    at += 4 + length;
  }
  return found;
}

/** The records of one name and type in the answer section. */
export function answersOf({ message }: DnsAnswer, { name, type }: DnsQuestion): ResourceRecord[] {
  return message.sections[0].filter((record) => record.name === name && record.type === type);
}

/** The host names that the records of a type with a bare name as data (NS, CNAME) lead to. */
export function targetsOf({ bytes }: DnsAnswer, records: readonly ResourceRecord[]): string[] {
  return records.map(({ dataStart }) => readName(bytes, dataStart).name);
}

/** The serial number of the zone (RFC 1035 §3.3.13). Throws DnsFormatError. */
export function serialOf({ bytes }: DnsAnswer, { data, dataStart }: ResourceRecord): number {
  const serialAt = readName(bytes, readName(bytes, dataStart).end).end;
  if (serialAt + 4 > dataStart + data.length) throw new DnsFormatError("a record that is too short");
  return bytes.readUInt32BE(serialAt);
}
