/**
 * Puzzles for browsers while too many accounts are made (after hashcash, A. Back 2002): find numbers n0 … n15 so that
 * SHA-256(CHALLENGE "." round "." number) begins with 14 zero bits. A challenge is signed, expires and counts once;
 * nothing is kept until it is solved. The browser's half is web/proof-worker.js. Called by sign-up.ts.
 *
 *   proof     = CHALLENGE "~" n0 "-" n1 … "-" n15, numbers in base 36
 *   CHALLENGE = base64url of u32 expiry (Unix seconds) | 8 random bytes | 16 bytes of HMAC-SHA-256 over both
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from "node:crypto";

/** Many small rounds instead of a large one: the time varies by a quarter instead of by its whole, and shows. */
const rounds = 16;
/** Zero bits a round; what that takes stands in web/proof-worker.js. */
const usualBits = 14;

/** To solve it, to tap the button, to confirm in the app. */
const lifetimeSeconds = 900;
/**
 * Solved challenges remembered until they expire, 1 MB; when there are more, the next ones wait. Machine limits and
 * those of networks (sign-up-limits.ts) are far below for honest crowds.
 */
const maxSpent = 20_000;

const expiryBytes = 4;
const randomPartBytes = 8;
const signatureBytes = 16;
const signedBytes = expiryBytes + randomPartBytes;
const challengeForm = /^[A-Za-z0-9_-]{38}$/;
/** 2^50 tries a round: beyond any luck, within exact integers. */
const numberForm = /^[0-9a-z]{1,10}$/;

export type Puzzle = Readonly<{ challenge: string; rounds: number; bits: number }>;

export type Proofs = Readonly<{
  puzzle(): Puzzle;
  /**
   * Whether a proof is right and was not used yet. `spend` uses it up; false when another request was faster, or
   * there were too many.
   */
  check(proof: string): { spend(): boolean } | undefined;
}>;

/**
 * @param now Unix time in seconds.
 * @param bits others only in tests.
 */
export function createProofs(now: () => number, bits: number = usualBits): Proofs {
  const key = randomBytes(32);
  // Solved challenges with their expiry, in the order in which they were spent.
  const spent = new Map<string, number>();
  const sign = (signed: Buffer): Buffer =>
    createHmac("sha256", key).update(signed).digest().subarray(0, signatureBytes);

  const makeRoom = (): boolean => {
    if (spent.size < maxSpent) return true;
    for (const [challenge, expiry] of spent) if (expiry <= now()) spent.delete(challenge);
    return spent.size < maxSpent;
  };

  return {
    puzzle() {
      const signed = Buffer.alloc(signedBytes);
      signed.writeUInt32BE(Math.floor(now()) + lifetimeSeconds, 0);
      randomBytes(randomPartBytes).copy(signed, expiryBytes);
      return { challenge: Buffer.concat([signed, sign(signed)]).toString("base64url"), rounds, bits };
    },
    check(proof) {
      const [challenge = "", solution = "", more] = proof.split("~");
      if (more !== undefined || !challengeForm.test(challenge)) return undefined;
      const bytes = Buffer.from(challenge, "base64url");
      // The last character carries bits of no byte: another spelling would be another challenge.
      if (bytes.toString("base64url") !== challenge) return undefined;
      const signed = bytes.subarray(0, signedBytes);
      if (!timingSafeEqual(sign(signed), bytes.subarray(signedBytes))) return undefined;
      const expiry = signed.readUInt32BE(0);
      if (expiry <= now() || spent.has(challenge)) return undefined;
      const numbers = solution.split("-", rounds + 1);
      if (numbers.length !== rounds) return undefined;
      if (!numbers.every((number, round) => isSolved(challenge, round, number, bits))) return undefined;
      return {
        spend() {
          if (spent.has(challenge) || !makeRoom()) return false;
          spent.set(challenge, expiry);
          return true;
        },
      };
    },
  };
}

function isSolved(challenge: string, round: number, number: string, bits: number): boolean {
  if (!numberForm.test(number)) return false;
  const digest = hash("sha256", `${challenge}.${round}.${number}`, "buffer");
  return digest.readUInt32BE(0) >>> (32 - bits) === 0;
}
