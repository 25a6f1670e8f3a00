/**
 * The packets of the Sendmail milter protocol, version 6, as Postfix speaks it: framing, decoding what the
 * mail server sends, encoding what we answer. No state, no rules: session.ts drives it. The protocol has no
 * RFC; its source is libmilter's mfdef.h.
 *
 *   packet   = u32 length of the rest | u8 command | data
 *   strings in data end with NUL
 */
import { type Refusal, replyLine } from "./refusal.ts";

/** Version 6 is libmilter's since Sendmail 8.14 and Postfix's default (milter_protocol). */
const PROTOCOL_VERSION = 6;

/**
 * Largest packet taken. Postfix sends bodies in 65535-octet pieces and header fields up to its
 * header_size_limit (102400) and a little more.
 */
const MAX_PACKET_BYTES = 1024 * 1024;

/** What a milter may ask to do at the end of a message (SMFIF_*). */
const action = { addHeaders: 0x01, changeHeaders: 0x10, changeSender: 0x40 } as const;

/** What the mail server need not send, or need not wait for (SMFIP_*). */
const step = {
  noHelo: 0x2,
  noUnknown: 0x100,
  noData: 0x200,
  noEndOfHeaders: 0x40,
  noReplyToHeader: 0x80,
  noReplyToBody: 0x80000,
  headerLeadingSpace: 0x100000,
} as const;

const wantedActions = action.addHeaders | action.changeHeaders | action.changeSender;
const wantedSteps = Object.values(step).reduce((all, bit) => all | bit, 0);

/** What came is not the milter protocol, or not enough of it. The connection is closed: Postfix defers the mail. */
export class MilterProtocolError extends Error {
  override name = "MilterProtocolError";
}

export type Packet = Readonly<{ command: string; data: Buffer }>;

/** What both sides agreed on. */
export type Negotiated = Readonly<{
  replyToHeader: boolean;
  replyToBody: boolean;
  /** Header values are sent and taken with the white space after the colon. */
  headerLeadingSpace: boolean;
}>;

/** Cuts a byte stream into packets; holds at most one. Throws MilterProtocolError. */
export async function* readPackets(source: AsyncIterable<Buffer>): AsyncGenerator<Packet> {
  const pieces: Buffer[] = [];
  let held = 0;
  for await (const piece of source) {
    pieces.push(piece);
    held += piece.length;
    while (held >= 4) {
      if (pieces[0]!.length < 4) joinPieces(pieces);
      const length = pieces[0]!.readUInt32BE(0);
      if (length === 0 || length > MAX_PACKET_BYTES) {
        throw new MilterProtocolError(`a packet of ${length} bytes; allowed are 1 to ${MAX_PACKET_BYTES}`);
      }
      if (held < 4 + length) break;
      const joined = joinPieces(pieces);
      pieces.length = 0;
      held -= 4 + length;
      if (held > 0) pieces.push(joined.subarray(4 + length));
      yield { command: String.fromCharCode(joined[4]!), data: joined.subarray(5, 4 + length) };
    }
  }
  if (held > 0) throw new MilterProtocolError("the connection ended inside a packet");
}

function joinPieces(pieces: Buffer[]): Buffer {
  const joined = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  pieces.length = 0;
  pieces.push(joined);
  return joined;
}

/** SMFIC_OPTNEG: u32 version | u32 actions | u32 steps. Throws when the mail server offers too little. */
export function negotiate(data: Buffer): { answer: Buffer; agreed: Negotiated } {
  if (data.length < 12) throw new MilterProtocolError("the option negotiation is too short");
  const version = data.readUInt32BE(0);
  const actions = data.readUInt32BE(4);
  const steps = data.readUInt32BE(8);
  if (version < PROTOCOL_VERSION) {
    throw new MilterProtocolError(`the mail server speaks version ${version}, needed is ${PROTOCOL_VERSION}`);
  }
  if ((actions & wantedActions) !== wantedActions) {
    throw new MilterProtocolError(
      "the mail server does not let a milter change headers and the envelope sender",
    );
  }
  const agreedSteps = steps & wantedSteps;
  const answer = Buffer.alloc(12);
  answer.writeUInt32BE(PROTOCOL_VERSION, 0);
  answer.writeUInt32BE(wantedActions, 4);
  answer.writeUInt32BE(agreedSteps, 8);
  return {
    answer: encodePacket("O", answer),
    agreed: {
      replyToHeader: (agreedSteps & step.noReplyToHeader) === 0,
      replyToBody: (agreedSteps & step.noReplyToBody) === 0,
      headerLeadingSpace: (agreedSteps & step.headerLeadingSpace) !== 0,
    },
  };
}

/** SMFIC_CONNECT: hostname NUL | u8 family | u16 port | address NUL (no port and address for family "U"). */
export function decodeConnect(data: Buffer): { address: string | null } {
  const end = data.indexOf(0);
  if (end < 0 || data.length < end + 2)
    throw new MilterProtocolError("a CONNECT packet without address family");
  const family = String.fromCharCode(data[end + 1]!);
  if (family !== "4" && family !== "6") return { address: null };
  if (data.length < end + 5) throw new MilterProtocolError("a CONNECT packet without address");
  const [address = ""] = decodeStrings(data.subarray(end + 4));
  return { address: address.replace(/^ipv6:/i, "") };
}

/** SMFIC_MACRO: u8 command the macros belong to | (name NUL value NUL)*. Names lose their braces. */
export function decodeMacros(data: Buffer): { command: string; macros: ReadonlyMap<string, string> } {
  const strings = decodeStrings(data.subarray(1));
  const macros = new Map<string, string>();
  for (let index = 0; index + 1 < strings.length; index += 2) {
    macros.set(strings[index]!.replace(/^\{(.*)\}$/, "$1"), strings[index + 1]!);
  }
  return { command: String.fromCharCode(data[0] ?? 0), macros };
}

/** The first argument of SMFIC_MAIL and SMFIC_RCPT: the address; ESMTP parameters follow it. */
export function decodeAddress(data: Buffer): string {
  const [address] = decodeStrings(data);
  if (address === undefined) throw new MilterProtocolError("an envelope command without address");
  return address;
}

/** SMFIC_HEADER: name NUL value NUL, as binary strings (see header-field.ts). */
export function decodeHeader(data: Buffer): { name: string; value: string } {
  const [name, value] = decodeStrings(data, "latin1");
  if (name === undefined || value === undefined)
    throw new MilterProtocolError("a header field without value");
  return { name, value };
}

function decodeStrings(data: Buffer, encoding: "utf8" | "latin1" = "utf8"): string[] {
  const strings: string[] = [];
  let start = 0;
  for (let end = data.indexOf(0); end >= 0; end = data.indexOf(0, start)) {
    strings.push(data.toString(encoding, start, end));
    start = end + 1;
  }
  return strings;
}

export function encodePacket(command: string, data: Uint8Array = new Uint8Array()): Buffer {
  const packet = Buffer.alloc(5 + data.length);
  packet.writeUInt32BE(1 + data.length, 0);
  packet.write(command, 4, "latin1");
  packet.set(data, 5);
  return packet;
}

/** SMFIR_CONTINUE: go on; at the end of a message: accepted. */
export const continuePacket = encodePacket("c");

/** SMFIR_REPLYCODE: the SMTP reply. libmilter formats it with printf, so "%" is doubled. */
export function encodeRefusal(refusal: Refusal): Buffer {
  return encodePacket("y", Buffer.from(`${replyLine(refusal).replaceAll("%", "%%")}\0`, "latin1"));
}

/** SMFIR_CHGHEADER: sets field number `index` (from 1) of this name; an empty value removes it. */
export function encodeChangeHeader(index: number, name: string, value: string): Buffer {
  return encodeIndexed("m", index, name, value);
}

/** SMFIR_INSHEADER: inserts a field before field number `index` (from 0) of the header. */
export function encodeInsertHeader(index: number, name: string, value: string): Buffer {
  return encodeIndexed("i", index, name, value);
}

function encodeIndexed(command: string, index: number, name: string, value: string): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(index);
  return encodePacket(command, Buffer.concat([number, Buffer.from(`${name}\0${value}\0`, "latin1")]));
}

/** SMFIR_CHGFROM: replaces the envelope sender; `<>` is the null sender. */
export function encodeChangeSender(address: string): Buffer {
  return encodePacket("e", Buffer.from(`${address}\0`, "utf8"));
}
