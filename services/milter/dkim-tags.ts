/**
 * Reads a DKIM-Signature field and refuses what no valid signature has (RFC 6376 §3.5 and §6.1.1, RFC 8301,
 * RFC 8463, RFC 8616), before anything is hashed or looked up. Pure. Called by dkim-verify.ts.
 */
import { isBase64, parseTagList, type TagList, withoutSpace } from "../../appliance/dns/tag-list.ts";
import { normalDomain } from "./address.ts";
import { fromBinary } from "./header-field.ts";

export type Canonicalization = "relaxed" | "simple";

export type DkimTags = Readonly<{
  algorithm: "rsa" | "ed25519";
  headerCanonicalization: Canonicalization;
  bodyCanonicalization: Canonicalization;
  /** d= in lower case and A-labels. */
  domain: string;
  /** The domain in i=, in the same form. */
  identityDomain: string;
  /** s= in lower case and A-labels. */
  selector: string;
  /** Names of the signed fields in lower case, in their order. */
  signedNames: readonly string[];
  /** bh= and b= as they were written, without white space. */
  bodyHash: string;
  signature: Buffer;
  /** t= in seconds since 1970, null when it is missing. */
  signedAt: number | null;
}>;

/** RSA-4096 with many signed names takes 3 kB. In bytes. */
const MAX_FIELD_LENGTH = 8192;
/** Fields are looked up by name, one by one. Real signatures name up to 50. */
const MAX_SIGNED_NAMES = 500;

/** sub-domain of RFC 6376 §3.5, and the underscore that names for tests begin with. */
const domainName = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
/** RFC 5322 §3.6.8, but for ";", which would end the tag. */
const fieldName = /^[\x21-\x39\x3c-\x7e]+$/;
/** sig-t-tag and sig-x-tag: 1*12DIGIT. */
const seconds = /^[0-9]{1,12}$/;

/**
 * The tags, or what is wrong with them as a text for the log.
 *
 * @param value the field's value as a binary string
 * @param now seconds since 1970
 */
export function parseDkimTags(value: string, now: number): DkimTags | string {
  if (value.length > MAX_FIELD_LENGTH) return "the field is too long";
  const tags = parseTagList(fromBinary(value));
  if (typeof tags === "string") return `the field has ${tags}`;
  for (const name of ["v", "a", "b", "bh", "d", "h", "s"]) {
    if (!tags.get(name)) return `the tag ${name}= is missing`;
  }
  const tag = (name: string): string => tags.get(name) ?? "";
  if (tag("v") !== "1") return "an unknown version (v=)";
  // RFC 8301 §3.1: "Verifiers MUST NOT consider signatures using rsa-sha1 as valid".
  const algorithm = /^(rsa|ed25519)-sha256$/.exec(tag("a"))?.[1] as DkimTags["algorithm"] | undefined;
  if (algorithm === undefined) return "an unknown or forbidden algorithm (a=)";
  const canonicalization = /^(relaxed|simple)(?:\/(relaxed|simple))?$/.exec(tags.get("c") ?? "simple");
  if (canonicalization === null) return "an unknown canonicalization (c=)";
  // RFC 6376 §8.2: what stands behind the length is not signed, and anybody can add to it.
  if (tags.has("l")) return "a length limit (l=)";
  if (tags.has("q") && !withoutSpace(tag("q")).split(":").includes("dns/txt"))
    return "no known way to the key (q=)";
  const domain = normalDomain(tag("d"));
  const selector = normalDomain(tag("s"));
  if (![tag("d"), tag("s")].every(isDomainName)) return "no domain name in d= or s=";
  const identityDomain = domainOfIdentity(tags.get("i"), domain);
  if (identityDomain === null) return "an identity of another domain (i=)";
  const signedNames = withoutSpace(tag("h")).toLowerCase().split(":");
  if (signedNames.length > MAX_SIGNED_NAMES || !signedNames.every((name) => fieldName.test(name))) {
    return "wrong or too many names in h=";
  }
  // RFC 6376 §5.4: "The From header field MUST be signed".
  if (!signedNames.includes("from")) return "From is not signed";
  const bodyHash = withoutSpace(tag("bh"));
  const signature = withoutSpace(tag("b"));
  if (!isBase64(bodyHash) || !isBase64(signature)) return "bh= or b= is not Base64";
  const times = timeProblem(tags, now);
  if (times !== null) return times;
  return {
    algorithm,
    headerCanonicalization: canonicalization[1] as Canonicalization,
    bodyCanonicalization: (canonicalization[2] ?? "simple") as Canonicalization,
    domain,
    identityDomain,
    selector,
    signedNames,
    bodyHash,
    signature: Buffer.from(signature, "base64"),
    signedAt: tags.has("t") ? Number(tag("t")) : null,
  };
}

/**
 * The domain of i= (RFC 6376 §3.5: d= or below it), null when it is none of these. Its local part is nobody's
 * business; both are quoted-printable (§2.11), which no domain needs.
 */
function domainOfIdentity(identity: string | undefined, domain: string): string | null {
  if (identity === undefined) return domain;
  const text = withoutSpace(identity);
  const at = text.lastIndexOf("@");
  const found = normalDomain(text.slice(at + 1));
  if (at < 0 || !isDomainName(text.slice(at + 1))) return null;
  return found === domain || found.endsWith(`.${domain}`) ? found : null;
}

/** Names in other scripts are converted, as RFC 8616 §3 asks. A final dot is no part of the syntax. */
function isDomainName(text: string): boolean {
  return !text.endsWith(".") && domainName.test(normalDomain(text));
}

function timeProblem(tags: TagList, now: number): string | null {
  const [signedAt, expiresAt] = [tags.get("t"), tags.get("x")];
  for (const time of [signedAt, expiresAt]) {
    if (time !== undefined && !seconds.test(time)) return "no time in t= or x=";
  }
  if (expiresAt === undefined) return null;
  // RFC 6376 §3.5: "The value of the x= tag MUST be greater than the value of the t= tag".
  if (signedAt !== undefined && Number(expiresAt) <= Number(signedAt)) return "it expired before it began";
  return Number(expiresAt) < now ? "it has expired (x=)" : null;
}
