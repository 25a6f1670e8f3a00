/**
 * The relay's first certificate: self-signed with the TLS key of the relay folder, so that mail works
 * before (or without) a certificate authority. RFC 5280. Clients that know the key keep trusting it when a
 * better certificate for the same key comes. Called by configure.ts.
 */
import "reflect-metadata"; // @peculiar/x509 needs it, and first
import { createPrivateKey, createPublicKey, randomBytes, type webcrypto, X509Certificate } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

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
export async function selfSignedCertificate({ domain, keyPem, now }: CertificateInput): Promise<string> {
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TlsKeyError(
      `keys/tls.pem is a key of type ${key.asymmetricKeyType}; it must be an EC key on the curve P-256`,
    );
  }
  // RFC 5280 §4.1.2.2: positive and not zero.
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString("hex"),
    name: [domain.length <= maxCommonName ? { CN: [domain] } : { O: ["Homing"] }],
    // Of another's clock that is behind, too.
    notBefore: new Date(Math.min(validFrom.getTime(), now.getTime() - dayMs)),
    notAfter: new Date(now.getTime() + validDays * dayMs),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys: await importKeyPair(keyPem),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(certificateNames(domain).map((value) => ({ type: "dns", value }))),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

/** Node's keys as those of Web Crypto, which is what the generator signs with. */
async function importKeyPair(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const privateKey = createPrivateKey(keyPem).export({ type: "pkcs8", format: "der" });
  const publicKey = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  return {
    privateKey: await crypto.subtle.importKey("pkcs8", privateKey, algorithm, false, ["sign"]),
    publicKey: await crypto.subtle.importKey("spki", publicKey, algorithm, true, ["verify"]),
  };
}
