/**
 * The name by which an authority tells when a certificate should be renewed (RFC 9773 §4.1). Called by renewal.ts. Pure.
 * Apart from the other questions about certificates, which the boot asks as well and without this library.
 */
import "reflect-metadata"; // @peculiar/x509 needs it, and first
import { AuthorityKeyIdentifierExtension, X509Certificate } from "@peculiar/x509";
import type { CertificateChain } from "../../appliance/certificate-chain.ts";

/** Undefined when the certificate lacks the field that this is made of. */
export function renewalId({ leaf }: CertificateChain): string | undefined {
  const parsed = new X509Certificate(leaf.raw);
  const issuer = parsed.getExtension(AuthorityKeyIdentifierExtension)?.keyId;
  if (issuer === undefined) return undefined;
  // As DER has it: without needless zeros, but with one in front of a first bit that would mean "negative".
  const digits = leaf.serialNumber.replace(/^(?:00)+(?=..)/, "");
  const serial = Buffer.from(Number.parseInt(digits.slice(0, 2), 16) >= 0x80 ? `00${digits}` : digits, "hex");
  return `${Buffer.from(issuer, "hex").toString("base64url")}.${serial.toString("base64url")}`;
}
