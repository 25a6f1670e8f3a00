/**
 * Remembers which passwords were right a moment ago, so that a client that logs in again (on IMAP, SMTP,
 * after every change of network) costs no hashing. Holds no password: only an HMAC under a key that this
 * process makes at its start and never tells. Used by accounts.ts.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Accounts remembered: at some 300 bytes each this is 3 MB, more than a relay on a Pi serves in a day. */
export const maxRecentLogins = 10_000;

export type RecentLogins = Readonly<{
  /** The password under this process's key, as text; also good to tell equal attempts apart. */
  fingerprint(address: string, password: string): string;
  /**
   * Whether this fingerprint was right for an account whose stored hash is still `stored`. A changed or
   * deleted account is thereby forgotten at once.
   */
  matches(address: string, stored: string, fingerprint: string): boolean;
  remember(address: string, stored: string, fingerprint: string): void;
  size(): number;
}>;

export function createRecentLogins(limit: number = maxRecentLogins): RecentLogins {
  const key = randomBytes(32);
  // A Map keeps the order of insertion: the first entry is the least recently used.
  const entries = new Map<string, Readonly<{ stored: string; fingerprint: string }>>();
  return {
    fingerprint: (address, password) =>
      // The address holds no NUL (rules.ts), so no other pair gives the same bytes.
      createHmac("sha256", key).update(`${address}\0${password}`).digest("base64"),
    matches(address, stored, fingerprint) {
      const entry = entries.get(address);
      if (entry === undefined || entry.stored !== stored) return false;
      if (!timingSafeEqual(Buffer.from(entry.fingerprint), Buffer.from(fingerprint))) return false;
      entries.delete(address);
      entries.set(address, entry);
      return true;
    },
    remember(address, stored, fingerprint) {
      entries.delete(address);
      entries.set(address, { stored, fingerprint });
      for (const oldest of entries.keys()) {
        if (entries.size <= limit) break;
        entries.delete(oldest);
      }
    },
    size: () => entries.size,
  };
}
