/**
 * Password hashes: Argon2id (RFC 9106), written as PHC strings with their parameters, so that a later version
 * may raise the cost and still verify what is stored; scrypt (RFC 7914) of earlier versions is verified too.
 * Passwords that the relay itself invented (invention.ts) are stored under HMAC-SHA-256. Called by accounts.ts
 * through hash-queue.ts, and by sign-up.ts.
 */
import { argon2, createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * Cost: three passes over 2 MiB, about 2 ms on a PC and 20 ms on a Pi 3, so that a relay whose clients all
 * come back after a reboot has them logged in within seconds. A graphics card is bound by its memory: a guess
 * moves 16 MiB there (a step writes a block and reads one in the first pass, two in the later ones), against
 * 10 MiB for scrypt with 2^13 rounds and next to none for the 5000 rounds of SHA512-crypt that other relays
 * store. More would gain little: clients invent long random passwords, which no dictionary holds.
 */
const current = { kind: "argon2id", m: 2048, t: 3, p: 1 } as const;

const saltBytes = 16;
const hashBytes = 32;

/** A stored hash may ask for at most this much; a damaged row must not take the machine's memory. */
const maxArgonKibibytes = 65_536;
const maxArgonPasses = 10;
const maxCostExponent = 18;
const maxBlockSize = 16;
const maxParallelism = 4;

/** A stored password hash is not of the form this version writes or any earlier one wrote. */
export class PasswordFormatError extends Error {
  override name = "PasswordFormatError";
}

export type Parameters =
  /** m in KiB, t passes, p lanes (RFC 9106 §3.1). */
  | Readonly<{ kind: "argon2id"; m: number; t: number; p: number }>
  /** 2^ln rounds, r blocks of 128 bytes, p times (RFC 7914 §2). */
  | Readonly<{ kind: "scrypt"; ln: number; r: number; p: number }>;

/** Stretches a password: `length` bytes from it and the salt, at the cost that the parameters ask for. */
export type Derive = (
  password: string,
  salt: Buffer,
  length: number,
  parameters: Parameters,
) => Promise<Buffer>;

export type PasswordHasher = Readonly<{
  /** The hash to store: `$argon2id$v=19$m=2048,t=3,p=1$<salt>$<hash>`, base64 without padding. */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` is the one `stored` was made of; compared in constant time. A wrong one takes as long whatever
   * kind of current hash is stored. @throws PasswordFormatError
   */
  verify(password: string, stored: string): Promise<boolean>;
  /** Takes as long as verifying does: for refusals whose speed would tell that there is no such account. */
  spend(password: string): Promise<void>;
  /** Whether `stored` costs another time than `spend` does: it is of an earlier version. @throws PasswordFormatError */
  isOutdated(stored: string): boolean;
}>;

/**
 * The hash to store of a password that this relay invented, of 256 random bits: `$hmac-sha256$<salt>$<hash>`, keyed by
 * the salt (RFC 2104). Stretching makes guesses costly, and there is nothing to guess here: 2^200 tries are beyond
 * anybody at any speed. Never for what somebody chose.
 */
export function hashInvented(password: string): string {
  const salt = randomBytes(saltBytes);
  return `${inventedPrefix}${unpadded(salt)}$${unpadded(keyed(salt, password))}`;
}

/** Whether `stored` is of an invented password, and of this one; compared in constant time, within microseconds. */
export function matchesInvented(password: string, stored: string): boolean {
  if (!stored.startsWith(inventedPrefix)) return false;
  const [salt, hash] = inventedParts(stored);
  return timingSafeEqual(keyed(salt, password), hash);
}

/** @param derive another one only for tests that count. */
export function createPasswordHasher(derive: Derive = deriveInPool): PasswordHasher {
  const decoy = formatHash(randomBytes(saltBytes), randomBytes(hashBytes));
  const verify = async (password: string, stored: string): Promise<boolean> => {
    if (stored.startsWith(inventedPrefix)) {
      if (matchesInvented(password, stored)) return true;
      // A quick "no" would tell that there is such an account.
      await verify(password, decoy);
      return false;
    }
    const { parameters, salt, hash } = parseHash(stored);
    return timingSafeEqual(await derive(password, salt, hash.length, parameters), hash);
  };
  return {
    async hash(password) {
      const salt = randomBytes(saltBytes);
      return formatHash(salt, await derive(password, salt, hashBytes, current));
    },
    verify,
    async spend(password) {
      await verify(password, decoy);
    },
    isOutdated(stored) {
      if (stored.startsWith(inventedPrefix)) return false;
      const { parameters: found } = parseHash(stored);
      const { kind, m, t, p } = current;
      return found.kind !== kind || found.m !== m || found.t !== t || found.p !== p;
    },
  };
}

/** In libuv's thread pool. */
export function deriveInPool(
  password: string,
  salt: Buffer,
  length: number,
  parameters: Parameters,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null, key: Buffer): void =>
      error === null ? resolve(key) : reject(error);
    if (parameters.kind === "argon2id") {
      const { m: memory, t: passes, p: parallelism } = parameters;
      const input = { message: password, nonce: salt, tagLength: length, memory, passes, parallelism };
      argon2("argon2id", input, settle);
      return;
    }
    const { ln, r, p } = parameters;
    const cost = 2 ** ln;
    // RFC 7914 §2: 128 · N · r bytes, and 128 · r · p for the blocks; OpenSSL counts a little more.
    const maxmem = 128 * r * (cost + p + 32);
    scrypt(password, salt, length, { N: cost, r, p, maxmem }, settle);
  });
}

const inventedPrefix = "$hmac-sha256$";
const inventedForm = /^\$hmac-sha256\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

function inventedParts(stored: string): [salt: Buffer, hash: Buffer] {
  const match = inventedForm.exec(stored);
  if (match === null) throw new PasswordFormatError("a stored hash of an invented password is damaged");
  return [Buffer.from(match[1]!, "base64"), Buffer.from(match[2]!, "base64")];
}

function keyed(salt: Buffer, password: string): Buffer {
  return createHmac("sha256", salt).update(password).digest();
}

function formatHash(salt: Buffer, hash: Buffer): string {
  const { kind, m, t, p } = current;
  return `$${kind}$v=19$m=${m},t=${t},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
}

const argonForm =
  /^\$argon2id\$v=19\$m=(\d{1,6}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{22,86})$/;
const scryptForm =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{22,86})$/;

function parseHash(stored: string): { parameters: Parameters; salt: Buffer; hash: Buffer } {
  const argon = argonForm.exec(stored);
  const match = argon ?? scryptForm.exec(stored);
  if (match === null)
    throw new PasswordFormatError("a stored password hash is damaged or of an unknown kind");
  const [first, second, p] = match.slice(1, 4).map(Number) as [number, number, number];
  const parameters: Parameters =
    argon === null
      ? { kind: "scrypt", ln: first, r: second, p }
      : { kind: "argon2id", m: first, t: second, p };
  if (!isAffordable(parameters))
    throw new PasswordFormatError(
      `a stored password hash asks for an impossible cost: ${first},${second},${p}`,
    );
  return { parameters, salt: Buffer.from(match[4]!, "base64"), hash: Buffer.from(match[5]!, "base64") };
}

function isAffordable(parameters: Parameters): boolean {
  const within = (value: number, least: number, most: number): boolean => value >= least && value <= most;
  if (!within(parameters.p, 1, maxParallelism)) return false;
  return parameters.kind === "argon2id"
    ? // RFC 9106 §3.1: at least 8 KiB a lane.
      within(parameters.m, 8 * parameters.p, maxArgonKibibytes) && within(parameters.t, 1, maxArgonPasses)
    : within(parameters.ln, 1, maxCostExponent) && within(parameters.r, 1, maxBlockSize);
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
