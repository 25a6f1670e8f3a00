/**
 * Judges one line of an OpenSSH public key file (sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253 §6.6).
 * Used by the settings and by `./homing init --ssh-key`. Options in front of the key are not taken: a relay
 * has one kind of administrator. Every field is measured, so that a line that was cut off does not lock its owner out.
 */
import { createPublicKey } from "node:crypto";

/** Enough for the longest key, RSA with 16384 bits, and a comment. */
const MAX_LINE_LENGTH = 8192;
/** What sshd takes: RequiredRSASize in sshd_config(5), and SSHBUF_MAX_BIGNUM of OpenSSH. In bits. */
const RSA_BITS = { least: 1024, most: 16_384 } as const;
/** RFC 8709 §4. In bytes. */
const ED25519_BYTES = 32;
/** The curves of RFC 5656 §10.1 with the bytes of one coordinate, and their names in JSON Web Keys. */
const curves = {
  nistp256: { bytes: 32, jwk: "P-256" },
  nistp384: { bytes: 48, jwk: "P-384" },
  nistp521: { bytes: 66, jwk: "P-521" },
} as const;

const damaged = "the key after the type is damaged or cut off";

/** Takes the fields behind the type and says what is wrong with them. */
type FieldJudge = (fields: readonly Buffer[]) => string | undefined;

/** The fields of each type: RFC 8709 §4, RFC 5656 §3.1, RFC 4253 §6.6 and PROTOCOL.u2f of OpenSSH. */
const keyTypes: Readonly<Record<string, FieldJudge>> = {
  "ssh-ed25519": (fields) => unless(fields.length === 1 && isEd25519(fields[0])),
  "sk-ssh-ed25519@openssh.com": ([key, ...rest]) => unless(isEd25519(key) && isApplication(rest)),
  "ecdsa-sha2-nistp256": (fields) => unless(isPoint("nistp256", fields) && fields.length === 2),
  "ecdsa-sha2-nistp384": (fields) => unless(isPoint("nistp384", fields) && fields.length === 2),
  "ecdsa-sha2-nistp521": (fields) => unless(isPoint("nistp521", fields) && fields.length === 2),
  "sk-ecdsa-sha2-nistp256@openssh.com": (fields) =>
    unless(isPoint("nistp256", fields) && isApplication(fields.slice(2))),
  "ssh-rsa": rsaProblem,
};

/** What is wrong with the line as an SSH public key, in a few words; undefined when it is a good one. */
export function sshPublicKeyProblem(line: string): string | undefined {
  if (/PRIVATE KEY/.test(line))
    return "this is a private key; give the public one, the file that ends in .pub";
  // Every other control character would end the line in authorized_keys or hide something from the reader.
  if (/\p{Cc}/u.test(line)) return "it holds a line break or another control character";
  if (line.length > MAX_LINE_LENGTH)
    return `it has ${line.length} characters, at most ${MAX_LINE_LENGTH} are allowed`;
  const [type = "", base64 = ""] = line.split(/ +/);
  const judge = Object.hasOwn(keyTypes, type) ? keyTypes[type] : undefined;
  if (!judge) {
    return `it must begin with its type, one of ${Object.keys(keyTypes).join(", ")}; found “${type.slice(0, 40)}”`;
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return "the key after the type is not Base64";
  const blob = Buffer.from(base64, "base64");
  // sshd demands whole groups of four characters.
  if (blob.toString("base64") !== base64) return damaged;
  // The blob begins with the type again, so a mistyped line shows here.
  const [innerType, ...fields] = readFields(blob) ?? [];
  return innerType?.toString("latin1") === type ? judge(fields) : damaged;
}

/** The strings of RFC 4251 §5 that the blob is made of; undefined when it does not end where the last one does. */
function readFields(blob: Buffer): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  while (at + 4 <= blob.length) {
    const length = blob.readUInt32BE(at);
    fields.push(blob.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return at === blob.length ? fields : undefined;
}

function unless(good: boolean): string | undefined {
  return good ? undefined : damaged;
}

function isEd25519(key: Buffer | undefined): boolean {
  return key?.length === ED25519_BYTES;
}

/** Security keys name the application that they were made for, "ssh:" unless chosen otherwise. */
function isApplication(fields: readonly Buffer[]): boolean {
  return fields.length === 1 && (fields[0]?.length ?? 0) > 0;
}

/** The curve's name and an uncompressed point on it (SEC 1 §2.3.4), the only form that OpenSSH takes. */
function isPoint(name: keyof typeof curves, [curve, point]: readonly Buffer[]): boolean {
  const { bytes, jwk } = curves[name];
  if (curve?.toString("latin1") !== name || point?.length !== 1 + 2 * bytes || point[0] !== 4) return false;
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map((each) =>
    each.toString("base64url"),
  );
  try {
    createPublicKey({ key: { kty: "EC", crv: jwk, x: x!, y: y! }, format: "jwk" });
    return true;
  } catch {
    return false; // not on the curve
  }
}

/** Exponent, then modulus. */
function rsaProblem([e, n, ...more]: readonly Buffer[]): string | undefined {
  if (!e || !n || more.length > 0 || !isPositive(e) || !isPositive(n)) return damaged;
  const isOdd = (number: Buffer) => (number.at(-1)! & 1) === 1;
  if (!isOdd(e) || !isOdd(n)) return damaged;
  const bits = BigInt(`0x${n.toString("hex")}`).toString(2).length;
  if (bits >= RSA_BITS.least && bits <= RSA_BITS.most) return undefined;
  return `it is an RSA key of ${bits} bits; ${RSA_BITS.least} to ${RSA_BITS.most} are taken`;
}

/** An mpint of RFC 4251 §5 above zero, without needless zeros in front. */
function isPositive(number: Buffer): boolean {
  const [first, second = 0] = number;
  return first !== undefined && first < 0x80 && (first !== 0 || second >= 0x80);
}
