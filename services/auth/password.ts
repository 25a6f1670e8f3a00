/**
 * Password hashes: scrypt (RFC 7914), written as a PHC string with its parameters, so that a later version
 * may raise the cost and still verify what is stored. Runs in libuv's thread pool, never on the main thread.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * Cost: 2^13 rounds of 8 blocks take 8 MiB and about 12 ms on a PC, 100 ms on a Pi 3. More would make
 * waking hundreds of clients after a reboot a matter of minutes there, and would gain little: clients
 * invent long random passwords, which no dictionary holds. Four run at once (libuv's pool): 32 MiB.
 */
const costExponent = 13;
const blockSize = 8;
const parallelism = 1;

const saltBytes = 16;
const hashBytes = 32;

/** A stored hash may ask for at most this much; a damaged row must not take the machine's memory. */
const maxCostExponent = 18;
const maxBlockSize = 16;
const maxParallelism = 4;

/** A stored password hash is not of the form this version writes or any earlier one wrote. */
export class PasswordFormatError extends Error {
  override name = "PasswordFormatError";
}

type Parameters = Readonly<{ ln: number; r: number; p: number }>;

/** The hash to store for a new account: `$scrypt$ln=13,r=8,p=1$<salt>$<hash>`, base64 without padding. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const parameters = { ln: costExponent, r: blockSize, p: parallelism };
  const hash = await derive(password, salt, hashBytes, parameters);
  return formatHash(parameters, salt, hash);
}

/** Whether `password` is the one `stored` was made of; compared in constant time. @throws PasswordFormatError */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const { parameters, salt, hash } = parseHash(stored);
  return timingSafeEqual(await derive(password, salt, hash.length, parameters), hash);
}

const decoy = formatHash(
  { ln: costExponent, r: blockSize, p: parallelism },
  randomBytes(saltBytes),
  randomBytes(hashBytes),
);

/** Takes as long as verifying does: for refusals whose speed would tell that there is no such account. */
export async function spendVerification(password: string): Promise<void> {
  await verifyPassword(password, decoy);
}

function derive(password: string, salt: Buffer, length: number, { ln, r, p }: Parameters): Promise<Buffer> {
  const cost = 2 ** ln;
  // RFC 7914 §2: 128 · N · r bytes, and 128 · r · p for the blocks; OpenSSL counts a little more.
  const maxmem = 128 * r * (cost + p + 32);
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { N: cost, r, p, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

function formatHash({ ln, r, p }: Parameters, salt: Buffer, hash: Buffer): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
}

function parseHash(stored: string): { parameters: Parameters; salt: Buffer; hash: Buffer } {
  const match =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{22,86})$/.exec(
      stored,
    );
  if (match === null)
    throw new PasswordFormatError("a stored password hash is damaged or of an unknown kind");
  const parameters = { ln: Number(match[1]), r: Number(match[2]), p: Number(match[3]) };
  const { ln, r, p } = parameters;
  if (ln < 1 || ln > maxCostExponent || r < 1 || r > maxBlockSize || p < 1 || p > maxParallelism) {
    throw new PasswordFormatError(
      `a stored password hash asks for an impossible cost: ln=${ln},r=${r},p=${p}`,
    );
  }
  return { parameters, salt: Buffer.from(match[4]!, "base64"), hash: Buffer.from(match[5]!, "base64") };
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
