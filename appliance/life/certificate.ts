/**
 * The relay's first certificate: self-signed with the TLS key of the relay folder, so that mail works
 * before (or without) a certificate authority. RFC 5280. Clients that know the key keep trusting it when a
 * better certificate for the same key comes. Called by keep-certificate.ts. Written field by field: a library for all
 * certificates costs the boot more time than everything else in its program.
 */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import {
  bitString,
  explicit,
  implicit,
  integer,
  isTrue,
  objectIdentifier,
  octetString,
  sequence,
  setOfOne,
  time,
  utf8String,
} from "./der.ts";

const dayMs = 86_400_000;
/** Nobody renews it by hand, and clients that accept a self-signed one look at its key, not at its age. */
const validDays = 3650;
/**
 * No image of this project is older. It is valid from then on, whatever the clock says while it is made: a clock that
 * is far ahead at the first boot and set right later would leave a certificate that is not valid yet.
 */
const validFrom = new Date("2026-01-01T00:00:00Z");
/** It is made anew this long before its end. */
const renewDays = 30;
/** X.520: a common name has at most 64 characters. */
const maxCommonName = 64;
/** RFC 5280 §4.1.2.1: extensions came with the third version, which is called 2. */
const version3 = Buffer.from([2]);
/** RFC 5280 §4.2.1.3: digitalSignature is the first of the bits; the other seven of its byte are left out. */
const digitalSignature = bitString(Buffer.from([0x80]), 7);
/** RFC 5280 §4.2.1.6: number of dNSName among the kinds of names. */
const dnsName = 2;

const oid = {
  /** RFC 5758 §3.2; without parameters. */
  ecdsaWithSha256: objectIdentifier("1.2.840.10045.4.3.2"),
  /** X.520 */
  commonName: objectIdentifier("2.5.4.3"),
  organization: objectIdentifier("2.5.4.10"),
  /** RFC 5280 §4.2.1 */
  keyUsage: objectIdentifier("2.5.29.15"),
  subjectAltName: objectIdentifier("2.5.29.17"),
  basicConstraints: objectIdentifier("2.5.29.19"),
  extendedKeyUsage: objectIdentifier("2.5.29.37"),
  serverAuth: objectIdentifier("1.3.6.1.5.5.7.3.1"),
} as const;

/** The TLS key is not one that the first certificate can be made with. */
export class TlsKeyError extends Error {
  override name = "TlsKeyError";
}

type CertificateInput = Readonly<{
  domain: string /** Private key, PKCS#8 PEM. */;
  keyPem: string;
  now: Date;
}>;

/** The names in the certificate of a relay: the domain and those that its DNS records point here. */
export function certificateNames(domain: string): string[] {
  return [domain, `www.${domain}`, `mta-sts.${domain}`];
}

/** Whether a certificate (PEM) is self-signed, fits the key and the names, and is valid, and for a while yet. */
export function certificateServes(pem: string, { domain, keyPem, now }: CertificateInput): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return false;
  }
  const names = (certificate.subjectAltName ?? "").split(", ");
  return (
    certificate.verify(certificate.publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(keyPem)) &&
    names.includes(`DNS:${domain}`) &&
    new Date(certificate.validFrom).getTime() <= now.getTime() &&
    new Date(certificate.validTo).getTime() > now.getTime() + renewDays * dayMs
  );
}

/**
 * A self-signed end-entity certificate (not a CA: clients refuse those as a server's) in PEM.
 * @throws TlsKeyError unless the key is an elliptic-curve key on P-256.
 */
export function selfSignedCertificate({ domain, keyPem, now }: CertificateInput): string {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TlsKeyError(
      `keys/tls.pem is a key of type ${key.asymmetricKeyType}; it must be an EC key on the curve P-256`,
    );
  }
  const algorithm = sequence(oid.ecdsaWithSha256);
  const content = certificateContent(domain, now, key, algorithm);
  // RFC 5758 §3.2: the signature is the DER of its two numbers, which is what Node makes.
  const certificate = sequence(content, algorithm, bitString(sign("sha256", content, key)));
  const lines = certificate.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** What is signed: TBSCertificate of RFC 5280 §4.1. */
function certificateContent(domain: string, now: Date, key: KeyObject, algorithm: Buffer): Buffer {
  const name = distinguishedName(domain);
  // §4.1.2.2: positive and not zero; without this bit a zero in front would make all certificates differ in length.
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return sequence(
    explicit(0, integer(version3)),
    integer(serial),
    algorithm,
    name,
    sequence(
      // Of another's clock that is behind, too.
      time(new Date(Math.min(validFrom.getTime(), now.getTime() - dayMs))),
      time(new Date(now.getTime() + validDays * dayMs)),
    ),
    name,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    explicit(3, sequence(...extensions(domain))),
  );
}

function distinguishedName(domain: string): Buffer {
  const [type, text] =
    domain.length <= maxCommonName ? [oid.commonName, domain] : [oid.organization, "Homing"];
  return sequence(setOfOne(sequence(type, utf8String(text))));
}

function extensions(domain: string): Buffer[] {
  const names = certificateNames(domain).map((text) => implicit(dnsName, Buffer.from(text, "ascii")));
  return [
    // §4.2.1.9: that it is no authority's is said by leaving that out.
    sequence(oid.basicConstraints, isTrue, octetString(sequence())),
    sequence(oid.keyUsage, isTrue, octetString(digitalSignature)),
    sequence(oid.extendedKeyUsage, octetString(sequence(oid.serverAuth))),
    sequence(oid.subjectAltName, octetString(sequence(...names))),
  ];
}
