/**
 * One-time passwords by the clock (RFC 6238 on RFC 4226), as authenticator apps show them: providers with a second
 * factor ask for one at login. Pure.
 */
import { createHmac } from "node:crypto";

/** RFC 6238 §4.1, the default of all apps. In seconds. */
export const TOTP_PERIOD = 30;
const DIGITS = 6;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The key that the text beside a QR code stands for (Base32, RFC 4648 §6; spaces do not count), or undefined. */
export function totpKey(text: string): Uint8Array | undefined {
  const letters = text.toUpperCase().replaceAll(/[\s-]/g, "").replace(/=+$/, "");
  if (!/^[A-Z2-7]{8,}$/.test(letters)) return undefined;
  const bytes: number[] = [];
  let buffer = 0;
  let bits = 0;
  for (const letter of letters) {
    buffer = ((buffer << 5) | BASE32.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((buffer >> bits) & 0xff);
  }
  return Uint8Array.from(bytes);
}

/** The six digits at this time (milliseconds since 1970). */
export function totpCode(key: Uint8Array, now: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(now / 1000 / TOTP_PERIOD)));
  const digest = createHmac("sha1", key).update(counter).digest();
  // RFC 4226 §5.3: the last four bits say where to read 31 bits.
  const code = digest.readUInt32BE(digest[digest.length - 1]! & 0xf) & 0x7fffffff;
  return String(code % 10 ** DIGITS).padStart(DIGITS, "0");
}
