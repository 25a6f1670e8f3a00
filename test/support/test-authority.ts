/**
 * Certificates of an authority that exists for a test only: a root, one below it, and servers' certificates, with
 * whatever dates and names a test needs. For tests that need no ACME.
 */
import "reflect-metadata"; // @peculiar/x509 needs it, and first
import { createPrivateKey, createPublicKey, generateKeyPairSync, type webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" };
const algorithm = { name: "ECDSA", namedCurve: "P-256" };
const DAY = 86_400_000;

export type TestAuthority = Readonly<{
  root: string;
  /** The certificate of the one that signs, below the root. */
  intermediate: string;
  /** A server's certificate for the key (PEM), alone; names or IP addresses. */
  certify: (keyPem: string, names: readonly string[], more?: CertifyOptions) => Promise<string>;
}>;

export type CertifyOptions = Readonly<{
  from?: Date;
  until?: Date;
  /** In hexadecimal. */
  serial?: string;
  /** In hexadecimal; the signer's own unless given. */
  signerKeyId?: string;
}>;

export function makeEcPem(): string {
  return generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;
}

export async function makeTestAuthority(now = new Date()): Promise<TestAuthority> {
  const dates = { notBefore: new Date(now.getTime() - DAY), notAfter: new Date(now.getTime() + 1000 * DAY) };
  const isAuthority = [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
  ];
  const rootKeys = await keyPair(makeEcPem());
  const root = await X509CertificateGenerator.createSelfSigned({
    ...{ serialNumber: "01", name: "CN=Test root", ...dates, signingAlgorithm, keys: rootKeys },
    extensions: isAuthority,
  });
  const keys = await keyPair(makeEcPem());
  const intermediate = await X509CertificateGenerator.create({
    ...{ serialNumber: "02", subject: "CN=Test authority", issuer: root.subject, ...dates, signingAlgorithm },
    ...{ signingKey: rootKeys.privateKey, publicKey: keys.publicKey, extensions: isAuthority },
  });
  return {
    root: pem(root),
    intermediate: pem(intermediate),
    certify: async (keyPem, names, { from, until, serial = "03", signerKeyId } = {}) => {
      const identifier =
        signerKeyId === undefined
          ? await AuthorityKeyIdentifierExtension.create(keys.publicKey)
          : new AuthorityKeyIdentifierExtension(signerKeyId);
      const certificate = await X509CertificateGenerator.create({
        ...{
          serialNumber: serial,
          subject: `CN=${names[0]}`,
          issuer: intermediate.subject,
          signingAlgorithm,
        },
        ...{ notBefore: from ?? dates.notBefore, notAfter: until ?? dates.notAfter },
        ...{ signingKey: keys.privateKey, publicKey: (await keyPair(keyPem)).publicKey },
        extensions: [
          new SubjectAlternativeNameExtension(
            names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
          ),
          identifier,
        ],
      });
      return pem(certificate);
    },
  };
}

const pem = (certificate: X509Certificate) => `${certificate.toString("pem")}\n`;

async function keyPair(keyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const privateKey = createPrivateKey(keyPem).export({ type: "pkcs8", format: "der" });
  const publicKey = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  return {
    privateKey: await crypto.subtle.importKey("pkcs8", privateKey, algorithm, false, ["sign"]),
    publicKey: await crypto.subtle.importKey("spki", publicKey, algorithm, true, ["verify"]),
  };
}
