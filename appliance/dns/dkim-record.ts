/**
 * Reads the DKIM key records of a name in the DNS (RFC 6376 §3.6.1, RFC 8301, RFC 8463). Pure. Called by the
 * milter for the keys of others, and by published.ts to see whether a key of ours is known everywhere.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { isBase64, parseTagList, type TagList, withoutSpace } from "./tag-list.ts";

export type DkimRecord = Readonly<{
  key: KeyObject;
  algorithm: "rsa" | "ed25519";
  /** The domain tries DKIM out: its mail counts as unsigned (t=y). */
  testing: boolean;
  /** The domain in i= must be the one in d= (t=s). */
  sameDomain: boolean;
}>;

/** A usable key, or why there is none, for the log. */
export type KeyFinding = DkimRecord | Readonly<{ problem: string }>;

/** RFC 8301 §3.2: verifiers must not take shorter keys, and must take up to 4096 bits. */
const RSA_BITS = { least: 1024, most: 4096 } as const;
/** Verifying costs time in proportion to the exponent's length; everybody uses 65537, some 3. */
const MAX_EXPONENT = 2n ** 31n;
/** Far above RSA-4096 in Base64 (736) with every tag; a TXT answer can have 64 kB. In characters. */
const MAX_RECORD_LENGTH = 4096;
/** A key's name has one record (RFC 6376 §3.6.2.2); wildcards add a few that mean something else. */
const MAX_RECORDS = 10;
/** SubjectPublicKeyInfo of an Ed25519 key up to the 32 bytes themselves (RFC 8410 §4). */
const ed25519Prefix = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Finds the key among the TXT records of its name, each a list of strings to be joined without anything between
 * (RFC 6376 §3.6.2.2). Records that are no key at all, as a wildcard brings them, do not count. "If there are
 * multiple records, the results are undefined": here, there is no key.
 */
export function findDkimKey(records: readonly (readonly string[])[]): KeyFinding {
  if (records.length > MAX_RECORDS) return { problem: "too many TXT records" };
  const texts = records.map((strings) => strings.join(""));
  if (texts.some((text) => text.length > MAX_RECORD_LENGTH)) return { problem: "a TXT record is too long" };
  const findings = texts.filter(looksLikeKey).map(parseDkimRecord);
  if (findings.length > 1) return { problem: "more than one key record" };
  return findings[0] ?? { problem: "no key record" };
}

/** Whether it has a p= tag: the only one that every key record needs. */
function looksLikeKey(text: string): boolean {
  return /(?:^|;)[ \t\r\n]*p[ \t\r\n]*=/.test(text);
}

/** RFC 6376 §6.1.2, steps 5 to 9. */
function parseDkimRecord(text: string): KeyFinding {
  const tags = parseTagList(text);
  if (typeof tags === "string") return { problem: `the key record has ${tags}` };
  const problem = wrongUse(tags);
  if (problem !== null) return { problem };
  const p = withoutSpace(tags.get("p") ?? "");
  if (p === "") return { problem: "the key is revoked" };
  const flags = list(tags.get("t"));
  const algorithm = tags.get("k") ?? "rsa";
  if (algorithm !== "rsa" && algorithm !== "ed25519") return { problem: "an unknown type of key (k=)" };
  const key = publicKey(algorithm, p);
  if (typeof key === "string") return { problem: key };
  return { key, algorithm, testing: flags.includes("y"), sameDomain: flags.includes("s") };
}

/** Why the record is not for this use, or null. */
function wrongUse(tags: TagList): string | null {
  const version = tags.get("v");
  // "This tag [...] MUST be the first tag in the record" and its value is an exact string.
  if (version !== undefined && (version !== "DKIM1" || tags.keys().next().value !== "v")) {
    return "the key record is of another version";
  }
  const services = tags.get("s");
  if (services !== undefined && !list(services).some((service) => service === "*" || service === "email")) {
    return "the key is not for email (s=)";
  }
  const hashes = tags.get("h");
  if (hashes !== undefined && !list(hashes).includes("sha256")) return "the key is not for SHA-256 (h=)";
  return null;
}

/** The key, or what is wrong with it. */
function publicKey(algorithm: "rsa" | "ed25519", base64: string): KeyObject | string {
  if (!isBase64(base64)) return "the key is not Base64";
  const bytes = Buffer.from(base64, "base64");
  // RFC 8463 §4: the bare 32 bytes.
  if (algorithm === "ed25519" && bytes.length !== 32) return "the key is no Ed25519 key";
  const der = algorithm === "ed25519" ? Buffer.concat([ed25519Prefix, bytes]) : bytes;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: der, format: "der", type: "spki" });
  } catch {
    try {
      // What RFC 6376 §3.6.1 calls for, where everybody publishes the above.
      key = createPublicKey({ key: der, format: "der", type: "pkcs1" });
    } catch {
      return "the key cannot be read";
    }
  }
  if (key.asymmetricKeyType !== algorithm) return "the key is of another type than k= says";
  if (algorithm === "ed25519") return key;
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most) {
    return `an RSA key of ${modulusLength} bits; taken are ${RSA_BITS.least} to ${RSA_BITS.most}`;
  }
  if (publicExponent < 3n || publicExponent > MAX_EXPONENT) return "an RSA key with an unusual exponent";
  return key;
}

/** The entries of a colon-separated value. */
function list(value: string | undefined): string[] {
  return value === undefined ? [] : withoutSpace(value).split(":");
}
