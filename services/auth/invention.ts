/**
 * Names, passwords and tokens that the relay invents: random, unbiased, in characters that no mail system, URL or
 * person stumbles over. Called by sign-up.ts and invites.ts.
 */
import { randomBytes } from "node:crypto";

/** Of a local part: those that clients invent as well, in the one spelling that is stored. */
const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
/** The largest multiple of 36 that a byte can count to: what lies above would favour the first letters. */
const fairBytes = 256 - (256 % letters.length);

/** 256 bits, as 43 characters: 200 is where a fast hash is enough (password.ts), and clients invent as long ones. */
const passwordBytes = 32;

/** 144 bits, as 24 characters: nobody finds one by trying, and its QR code stays coarse enough to be scanned. */
const tokenBytes = 18;

/** `length` letters and digits. */
export function inventName(length: number): string {
  let name = "";
  while (name.length < length) {
    for (const byte of randomBytes(length * 2)) {
      if (byte < fairBytes && name.length < length) name += letters[byte % letters.length];
    }
  }
  return name;
}

export function inventPassword(): string {
  return randomBytes(passwordBytes).toString("base64url");
}

export function inventToken(): string {
  return randomBytes(tokenBytes).toString("base64url");
}

/** Whether a text can be a token at all. */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{24}$/.test(text);
}
