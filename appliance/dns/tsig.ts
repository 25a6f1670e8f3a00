/**
 * Signatures on DNS messages by a shared secret (TSIG, RFC 8945): puts one under a request, and checks the one under
 * its answer. Called by rfc2136.ts; pure but for what is passed in.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { type DnsMessage, dnsClasses, dnsTypes, nameBytes, readName, recordBytes, uint16 } from "./wire.ts";

/** RFC 8945 §6: SHA-1 and MD5 are left out on purpose. */
export const tsigAlgorithms = ["hmac-sha256", "hmac-sha512"] as const;

export type TsigKey = Readonly<{
  name: string;
  algorithm: (typeof tsigAlgorithms)[number];
  secret: Uint8Array;
}>;

/** The answer does not prove that it comes from who has the key; `code` is the server's own (RFC 8945 §3). */
export class TsigError extends Error {
  override name = "TsigError";
  readonly code: "badsig" | "badkey" | "badtime" | "forged";
  constructor(code: TsigError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

/** Clocks may differ by this much (RFC 8945 §10). In seconds. */
const FUDGE = 300;
const errorCodes: Readonly<Record<number, TsigError["code"]>> = { 16: "badsig", 17: "badkey", 18: "badtime" };
/** Bytes of the additional count in the header. */
const ADDITIONAL_COUNT = 10;

type Timing = Readonly<{ signedAt: number; fudge: number; error: number; other: Buffer }>;

/** The message with a TSIG record, and its signature, which the answer's covers. `now` in seconds. */
export function signMessage(message: Buffer, key: TsigKey, now: number): { signed: Buffer; mac: Buffer } {
  const timing = { signedAt: now, fudge: FUDGE, error: 0, other: Buffer.alloc(0) };
  const mac = macOf(key, [message, variables(key, timing)]);
  const data = Buffer.concat([
    ...[nameBytes(key.algorithm), uint48(now), uint16(FUDGE), uint16(mac.length), mac],
    ...[message.subarray(0, 2), uint16(0), uint16(0)],
  ]);
  const record = recordBytes({ name: key.name, type: dnsTypes.TSIG, class: dnsClasses.ANY, ttl: 0, data });
  const signed = Buffer.concat([message, record]);
  signed.writeUInt16BE(signed.readUInt16BE(ADDITIONAL_COUNT) + 1, ADDITIONAL_COUNT);
  return { signed, mac };
}

/**
 * Checks an answer (RFC 8945 §5.3). Throws TsigError unless the key's owner signed it for this very request. Returns its
 * signature, which that of the next message covers where an answer comes in several.
 */
export function verifyAnswer(
  bytes: Buffer,
  message: DnsMessage,
  key: TsigKey,
  requestMac: Buffer,
  now: number,
): Buffer {
  return verify(bytes, message, key, now, (unsigned, timing) => [
    ...[uint16(requestMac.length), requestMac, unsigned, variables(key, timing)],
  ]);
}

/** The same for a later message of an answer; `between` are those without a signature since the last that had one. */
export function verifyNext(
  bytes: Buffer,
  message: DnsMessage,
  key: TsigKey,
  lastMac: Buffer,
  between: readonly Buffer[],
  now: number,
): Buffer {
  // RFC 8945 §5.3.1: of the variables only the timers.
  return verify(bytes, message, key, now, (unsigned, { signedAt, fudge }) => [
    ...[uint16(lastMac.length), lastMac, ...between, unsigned, uint48(signedAt), uint16(fudge)],
  ]);
}

/** `covered`: what the signature is over, given the message as it was before it was signed. */
function verify(
  bytes: Buffer,
  message: DnsMessage,
  key: TsigKey,
  now: number,
  covered: (unsigned: Buffer, timing: Timing) => Buffer[],
): Buffer {
  const record = message.sections[2].at(-1);
  if (record?.type !== dnsTypes.TSIG) throw new TsigError("forged", "its answer is not signed");
  const { algorithm, mac, originalId, ...timing } = parseTsig(record.data);
  const code = errorCodes[timing.error];
  if (code !== undefined && code !== "badtime") throw new TsigError(code, `it answers ${code.toUpperCase()}`);
  if (record.name !== key.name || algorithm !== key.algorithm) {
    throw new TsigError("forged", "its answer is signed with another key");
  }
  const unsigned = Buffer.from(bytes.subarray(0, record.start));
  unsigned.writeUInt16BE(originalId, 0);
  unsigned.writeUInt16BE(message.sections[2].length - 1, ADDITIONAL_COUNT);
  const expected = macOf(key, covered(unsigned, timing));
  // No shorter ones (RFC 8945 §5.2.2.1): who knows the key has no reason to send them.
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
    throw new TsigError("forged", "the signature of its answer is wrong");
  }
  if (code !== undefined || Math.abs(timing.signedAt - now) > timing.fudge) {
    throw new TsigError("badtime", "its clock and the relay's differ");
  }
  return mac;
}

function parseTsig(data: Buffer): Timing & Readonly<{ algorithm: string; mac: Buffer; originalId: number }> {
  const refuse = () => new TsigError("forged", "the signature of its answer is cut off");
  const { name: algorithm, end } = readName(data, 0);
  if (data.length < end + 16) throw refuse();
  const macEnd = end + 10 + data.readUInt16BE(end + 8);
  if (data.length < macEnd + 6 || data.length !== macEnd + 6 + data.readUInt16BE(macEnd + 4)) throw refuse();
  return {
    ...{ algorithm, signedAt: data.readUIntBE(end, 6), fudge: data.readUInt16BE(end + 6) },
    ...{ mac: data.subarray(end + 10, macEnd), originalId: data.readUInt16BE(macEnd) },
    ...{ error: data.readUInt16BE(macEnd + 2), other: data.subarray(macEnd + 6) },
  };
}

/** RFC 8945 §4.3.3. */
function variables({ name, algorithm }: TsigKey, { signedAt, fudge, error, other }: Timing): Buffer {
  return Buffer.concat([
    ...[nameBytes(name), uint16(dnsClasses.ANY), Buffer.alloc(4), nameBytes(algorithm)],
    ...[uint48(signedAt), uint16(fudge), uint16(error), uint16(other.length), other],
  ]);
}

function macOf({ algorithm, secret }: TsigKey, parts: readonly Buffer[]): Buffer {
  const hmac = createHmac(algorithm.slice("hmac-".length), secret);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

function uint48(value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(value, 0, 6);
  return bytes;
}
