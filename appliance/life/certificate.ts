/**
 * The relay's first certificate: self-signed with the TLS key of the relay folder, so that mail works
 * before (or without) a certificate authority. RFC 5280. Clients that know the key keep trusting it when a
 * better certificate for the same key comes. Called by boot.ts.
 */
import { createPrivateKey, createPublicKey, randomBytes, sign, X509Certificate } from "node:crypto";
import * as der from "./der.ts";

const dayMs = 86_400_000;
/** Nobody renews it by hand, and clients that accept a self-signed one look at its key, not at its age. */
const validDays = 3650;
/** It is made anew this long before its end. */
const renewDays = 30;
/** X.520: a common name has at most 64 characters. */
const maxCommonName = 64;

const identifiers = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  organizationName: "2.5.4.10",
  commonName: "2.5.4.3",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  serverAuthentication: "1.3.6.1.5.5.7.3.1",
  subjectAlternativeName: "2.5.29.17",
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

/** Whether a certificate (PEM) fits the key and the names, and is valid for a while yet. */
export function certificateServes(pem: string, { domain, keyPem, now }: CertificateInput): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return false;
  }
  const names = (certificate.subjectAltName ?? "").split(", ");
  return (
    certificate.checkPrivateKey(createPrivateKey(keyPem)) &&
    names.includes(`DNS:${domain}`) &&
    new Date(certificate.validTo).getTime() > now.getTime() + renewDays * dayMs
  );
}

/**
 * A self-signed end-entity certificate (not a CA: clients refuse those as a server's) in PEM.
 * @throws TlsKeyError unless the key is an elliptic-curve key.
 */
export function selfSignedCertificate({ domain, keyPem, now }: CertificateInput): string {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType !== "ec") {
    throw new TlsKeyError(
      `keys/tls.pem is a key of type ${key.asymmetricKeyType}; it must be an EC key (P-256)`,
    );
  }
  const algorithm = der.sequence(der.objectIdentifier(identifiers.ecdsaWithSha256));
  const name =
    domain.length <= maxCommonName
      ? distinguishedName(identifiers.commonName, domain)
      : distinguishedName(identifiers.organizationName, "Homing");
  // RFC 5280 §4.1.2.2: positive and not zero.
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const toBeSigned = der.sequence(
    der.explicit(0, der.positiveInteger(Buffer.from([2]))),
    der.positiveInteger(serial),
    algorithm,
    name,
    der.sequence(
      // A day back: clocks differ, and the device's own may be behind at its first boot.
      der.time(new Date(now.getTime() - dayMs)),
      der.time(new Date(now.getTime() + validDays * dayMs)),
    ),
    name,
    createPublicKey(key).export({ type: "spki", format: "der" }),
    der.explicit(3, der.sequence(...extensions(domain))),
  );
  const certificate = der.sequence(
    toBeSigned,
    algorithm,
    der.bitString(sign("sha256", toBeSigned, { key, dsaEncoding: "der" })),
  );
  const base64 = certificate.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

function extensions(domain: string): Buffer[] {
  return [
    // An empty sequence: cA is FALSE by default (RFC 5280 §4.2.1.9).
    extension(identifiers.basicConstraints, "critical", der.sequence()),
    // Bit 0, digitalSignature (RFC 5280 §4.2.1.3).
    extension(identifiers.keyUsage, "critical", der.bitString(Buffer.from([0x80]), 7)),
    extension(
      identifiers.extendedKeyUsage,
      "not critical",
      der.sequence(der.objectIdentifier(identifiers.serverAuthentication)),
    ),
    extension(
      identifiers.subjectAlternativeName,
      "not critical",
      // dNSName is [2] IMPLICIT IA5String (RFC 5280 §4.2.1.6).
      der.sequence(...certificateNames(domain).map((name) => der.implicit(2, Buffer.from(name, "ascii")))),
    ),
  ];
}

function extension(identifier: string, critical: "critical" | "not critical", value: Uint8Array): Buffer {
  const flag = critical === "critical" ? [der.trueValue()] : [];
  return der.sequence(der.objectIdentifier(identifier), ...flag, der.octetString(value));
}

function distinguishedName(type: string, value: string): Buffer {
  return der.sequence(der.set(der.sequence(der.objectIdentifier(type), der.utf8String(value))));
}
