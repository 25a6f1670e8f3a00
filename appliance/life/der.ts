/**
 * Writes values in DER (ITU-T X.690), as far as the relay's first certificate is made of them. Called by
 * certificate.ts. Pure. Reading is left to Node: what others made never comes here.
 */

/** X.690 §8.1.2.2 and X.680 §8.6: numbers of the universal types, 0x20 for those that are made of others. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;
/** X.690 §8.1.2.3: class "context-specific"; 0x20 as above. */
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

/** A value with its head, which has the length in as few bytes as do (X.690 §10.1). */
function value(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, { length }) => sum + length, 0);
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), ...content]);
  const digits = hexBytes(length.toString(16));
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length]), digits, ...content]);
}

function hexBytes(hex: string): Buffer {
  return Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, "hex");
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => value(TAG.sequence, ...items);

export const setOfOne = (item: Uint8Array): Buffer => value(TAG.set, item);

export const isTrue: Buffer = value(TAG.boolean, Buffer.from([0xff]));

/** A number that is not negative: its bytes, the first ones not all zero, a zero before a first bit that is set (§8.3). */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? new Uint8Array(1) : bytes.subarray(first);
  return value(TAG.integer, ...(digits[0]! >= 0x80 ? [Buffer.from([0])] : []), digits);
}

/** `unused`: how many bits of the last byte are not part of it (§8.6.2). */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return value(TAG.bitString, Buffer.from([unused]), bytes);
}

export const octetString = (bytes: Uint8Array): Buffer => value(TAG.octetString, bytes);

export const utf8String = (text: string): Buffer => value(TAG.utf8String, Buffer.from(text));

/** "1.2.840.10045": the first two numbers in one, each in groups of seven bits (§8.19). */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...others] = dotted.split(".").map(Number);
  const groups = (number: number): number[] => {
    const low = [number & 0x7f];
    for (let rest = number >>> 7; rest > 0; rest >>>= 7) low.unshift(0x80 | (rest & 0x7f));
    return low;
  };
  return value(TAG.objectIdentifier, Buffer.from([first * 40 + second, ...others].flatMap(groups)));
}

/** RFC 5280 §4.1.2.5: to the second, in two digits of the year up to 2049 and in four from 2050 on. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/\..*|[^\d]/g, "")}Z`;
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050
    ? value(TAG.utcTime, Buffer.from(digits.slice(2)))
    : value(TAG.generalizedTime, Buffer.from(digits));
}

/** Around another value: [number] EXPLICIT. */
export const explicit = (number: number, item: Uint8Array): Buffer =>
  value(CONTEXT | CONSTRUCTED | number, item);

/** Instead of the head of a value that is not made of others: [number] IMPLICIT. */
export const implicit = (number: number, content: Uint8Array): Buffer => value(CONTEXT | number, content);
