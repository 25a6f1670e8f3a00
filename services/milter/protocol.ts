/**
 * The packets of the Sendmail milter protocol, version 6, as Postfix speaks it: decoding what the mail server
 * sends, encoding what we answer. No state, no rules: session.ts drives it, packet-reader.ts cuts the stream
 * into packets. The protocol has no RFC; its source is libmilter's mfdef.h.
 *
 *   packet   = u32 length of the rest | u8 command | data
 *   strings in data end with NUL
 */
import { type Refusal, replyLine } from "./refusal.ts";

/** What came is not the milter protocol, or not enough of it. The connection is closed: Postfix defers the mail. */
export class MilterProtocolError extends Error {
  override name = "MilterProtocolError";
}

/** SMFIC_CONNECT: hostname NUL | u8 family | u16 port | address NUL (no port and address for family "U"). */
export function decodeConnect(data: Buffer): { address: string | null } {
  const end = data.indexOf(0);
  if (end < 0 || data.length < end + 2)
    throw new MilterProtocolError("a CONNECT packet without address family");
  const family = String.fromCharCode(data[end + 1]!);
  if (family !== "4" && family !== "6") return { address: null };
  if (data.length < end + 5) throw new MilterProtocolError("a CONNECT packet without address");
  return { address: (firstString(data, end + 4) ?? "").replace(/^ipv6:/i, "") };
}

/** The macros that anybody here reads (milter_*_macros in Postfix's documentation tell what they are). */
const keptMacros = new Set(["daemon_name", "auth_authen", "i"]);

/** SMFIC_MACRO: u8 command the macros belong to | (name NUL value NUL)*. Names lose their braces; most are dropped. */
export function decodeMacros(data: Buffer): { command: string; macros: ReadonlyMap<string, string> } {
  const macros = new Map<string, string>();
  const text = data.toString("utf8", 1);
  for (let start = 0; ; ) {
    const nameEnd = text.indexOf("\0", start);
    const valueEnd = nameEnd < 0 ? -1 : text.indexOf("\0", nameEnd + 1);
    if (valueEnd < 0) break;
    const name = text.slice(start, nameEnd).replace(/^\{(.*)\}$/, "$1");
    if (keptMacros.has(name)) macros.set(name, text.slice(nameEnd + 1, valueEnd));
    start = valueEnd + 1;
  }
  return { command: String.fromCharCode(data[0] ?? 0), macros };
}

/** The first argument of SMFIC_MAIL and SMFIC_RCPT: the address; ESMTP parameters follow it. */
export function decodeAddress(data: Buffer): string {
  const address = firstString(data, 0);
  if (address === undefined) throw new MilterProtocolError("an envelope command without address");
  return address;
}

/** SMFIC_HEADER: name NUL value NUL, as binary strings (see header-field.ts). */
export function decodeHeader(data: Buffer): { name: string; value: string } {
  const nameEnd = data.indexOf(0);
  const valueEnd = nameEnd < 0 ? -1 : data.indexOf(0, nameEnd + 1);
  if (valueEnd < 0) throw new MilterProtocolError("a header field without value");
  return { name: data.toString("latin1", 0, nameEnd), value: data.toString("latin1", nameEnd + 1, valueEnd) };
}

function firstString(data: Buffer, start: number): string | undefined {
  const end = data.indexOf(0, start);
  return end < 0 ? undefined : data.toString("utf8", start, end);
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

/** SMFIR_SKIP: no more of the body is needed (version 6). */
export const skipPacket = encodePacket("s");

/** SMFIR_PROGRESS: still working on the end of the message. */
export const progressPacket = encodePacket("p");

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

/** SMFIR_ADDHEADER: adds a field at the end of the header. */
export function encodeAddHeader(name: string, value: string): Buffer {
  return encodePacket("h", Buffer.from(`${name}\0${value}\0`, "latin1"));
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
