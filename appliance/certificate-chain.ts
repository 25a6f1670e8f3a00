/**
 * A certificate with the chain above it, as PEM (RFC 5280, RFC 8446 §4.4.2): reads it, and checks that a server can
 * show it. Called with what an authority sent (services/certificates), what the owner put into the relay folder
 * (installer, import-relay.ts), and what is in use (configure.ts). Pure.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { isIP } from "node:net";

/** A server's own, and at most this many above it; public authorities have two or three. */
const MAX_CERTIFICATES = 10;

/** The chain cannot be shown by the relay. The message continues "the certificate …" or names a part of it. */
export class CertificateChainError extends Error {
  override name = "CertificateChainError";
}

export type CertificateChain = Readonly<{
  pem: string;
  /** The server's own certificate. */
  leaf: X509Certificate;
  notBefore: Date;
  notAfter: Date;
  /** Nobody but the relay itself vouches for it. */
  isSelfSigned: boolean;
}>;

/** Throws CertificateChainError unless it is a chain, the server's own certificate first, each signed by the next. */
export function parseCertificateChain(text: string): CertificateChain {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    throw new CertificateChainError("is not in PEM form (“-----BEGIN CERTIFICATE-----”)");
  if (blocks.length > MAX_CERTIFICATES) {
    throw new CertificateChainError(
      `is a chain of ${blocks.length}; at most ${MAX_CERTIFICATES} are allowed`,
    );
  }
  const certificates = blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new CertificateChainError(`is damaged: number ${index + 1} of the chain cannot be read`, {
        cause,
      });
    }
  });
  for (const [index, certificate] of certificates.entries()) {
    const above = certificates[index + 1];
    if (above === undefined || (certificate.checkIssued(above) && certificate.verify(above.publicKey)))
      continue;
    throw new CertificateChainError(
      `is out of order: number ${index + 2} of the chain did not sign number ${index + 1}; the relay's own comes first`,
    );
  }
  const leaf = certificates[0]!;
  return {
    pem: `${blocks.join("\n")}\n`,
    leaf,
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
    isSelfSigned: leaf.verify(leaf.publicKey),
  };
}

/** Whether the private key (PEM) belongs to it. */
export function fitsKey({ leaf }: CertificateChain, keyPem: string): boolean {
  return leaf.checkPrivateKey(createPrivateKey(keyPem));
}

/** Whether clients that want this name or address are content with it. */
export function covers({ leaf }: CertificateChain, name: string): boolean {
  // A name with an underscore is none that checkHost knows.
  const isListed = (leaf.subjectAltName ?? "").split(", ").includes(`DNS:${name}`);
  return isListed || (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined;
}

/** Throws CertificateChainError unless it fits the key, covers all names, and is valid `at` that time, if one is given. */
export function checkCertificate(
  chain: CertificateChain,
  { keyPem, names, at }: Readonly<{ keyPem: string; names: readonly string[]; at?: Date }>,
): void {
  if (!fitsKey(chain, keyPem)) throw new CertificateChainError("was made for another private key");
  const missing = names.filter((name) => !covers(chain, name));
  if (missing.length > 0) throw new CertificateChainError(`is not for ${missing.join(", ")}`);
  if (at === undefined) return;
  const day = (date: Date) => date.toISOString().slice(0, 10);
  if (chain.notAfter <= at) throw new CertificateChainError(`expired on ${day(chain.notAfter)}`);
  if (chain.notBefore > at) throw new CertificateChainError(`is not valid before ${day(chain.notBefore)}`);
}
