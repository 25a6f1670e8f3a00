import "reflect-metadata"; // @peculiar/x509 needs it, and first
import { spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { describe, expect, it } from "vitest";
import { certificateServes, selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { makeTlsPem } from "./relay-on-fat.ts";

const domain = "chat.example.org";
const keyPem = makeTlsPem();
const now = new Date("2026-11-21T12:00:00Z");
const pem = selfSignedCertificate({ domain, keyPem, now });
const certificate = new X509Certificate(pem);
/** In hexadecimal: of itself the library takes another type of text for names as simple as these. */
const asUtf8String = (text: string) => Buffer.from([0x0c, text.length, ...Buffer.from(text)]).toString("hex");
const openssl = spawnSync("openssl", ["version"]).status === 0;

describe("the self-signed certificate", () => {
  it("is a server's, not a certificate authority's", () => {
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  });

  it("is for the domain and the names that point to the relay, and no other", () => {
    for (const name of [domain, `www.${domain}`, `mta-sts.${domain}`])
      expect(certificate.checkHost(name)).toBe(name);
    expect(certificate.checkHost(`other.${domain}`)).toBeUndefined();
    expect(certificate.checkHost("example.org")).toBeUndefined();
  });

  it("belongs to the key and is signed by it", () => {
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe(`CN=${domain}`);
    expect(certificate.issuer).toBe(certificate.subject);
  });

  it("is valid already, for ten years", () => {
    expect(new Date(certificate.validFrom)).toEqual(new Date("2026-01-01T00:00:00Z"));
    expect(new Date(certificate.validTo).getUTCFullYear()).toBe(2036);
  });

  it("is valid also for those whose clock is right when the relay's was far ahead or behind", () => {
    const ahead = { domain, keyPem, now: new Date("2045-01-01T00:00:00Z") };
    const made = selfSignedCertificate(ahead);
    expect(new Date(new X509Certificate(made).validTo).getUTCFullYear()).toBe(2054);
    for (const input of [ahead, { domain, keyPem, now }]) expect(certificateServes(made, input)).toBe(true);
    const behind = new X509Certificate(
      selfSignedCertificate({ domain, keyPem, now: new Date("1970-01-02T00:00:00Z") }),
    );
    expect(new Date(behind.validFrom)).toEqual(new Date("1970-01-01T00:00:00Z"));
  });

  it("has another serial number each time", () => {
    expect(new X509Certificate(selfSignedCertificate({ domain, keyPem, now })).serialNumber).not.toBe(
      certificate.serialNumber,
    );
  });

  it.each(["_a.test", `${"a".repeat(60)}.${"b".repeat(60)}.example.org`, "xn--bcher-kva.example"])(
    "can be made for %s",
    (name) => {
      const made = new X509Certificate(selfSignedCertificate({ domain: name, keyPem, now }));
      expect(made.subjectAltName).toBe(
        [name, `www.${name}`, `mta-sts.${name}`].map((n) => `DNS:${n}`).join(", "),
      );
    },
  );

  it.each([
    ["of a usual name", domain, now],
    ["of a name that is too long for its subject", `${"a".repeat(60)}.${"b".repeat(60)}.example.org`, now],
    ["whose end has four digits of a year", domain, new Date("2045-01-01T00:00:00Z")],
    ["whose beginning is in another century", domain, new Date("1970-01-02T00:00:00Z")],
  ])("%s is to the byte what a library for certificates makes of these fields", async (_what, name, at) => {
    const der = new X509Certificate(selfSignedCertificate({ domain: name, keyPem, now: at })).raw;
    const ours = new x509.X509Certificate(der);
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const privateKey = createPrivateKey(keyPem).export({ type: "pkcs8", format: "der" });
    const publicKey = createPublicKey(keyPem).export({ type: "spki", format: "der" });
    const theirs = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: ours.serialNumber,
      name: name.length <= 64 ? `CN=#${asUtf8String(name)}` : `O=#${asUtf8String("Homing")}`,
      notBefore: ours.notBefore,
      notAfter: ours.notAfter,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      keys: {
        privateKey: await crypto.subtle.importKey("pkcs8", privateKey, algorithm, false, ["sign"]),
        publicKey: await crypto.subtle.importKey("spki", publicKey, algorithm, true, ["verify"]),
      },
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          [name, `www.${name}`, `mta-sts.${name}`].map((value) => ({ type: "dns", value })),
        ),
      ],
    });
    // ECDSA signs with a random number: all before the signature, behind the head of the whole.
    const signed = (bytes: Buffer) => bytes.subarray(4, 4 + 4 + bytes.readUInt16BE(6)).toString("hex");
    expect(signed(der)).toBe(signed(Buffer.from(theirs.rawData)));
  });

  it.skipIf(!openssl)("is one that openssl verifies (needs openssl)", () => {
    const script = `cat > cert.pem && openssl verify -attime ${now.getTime() / 1000} -x509_strict -partial_chain -trusted cert.pem cert.pem`;
    const result = spawnSync("sh", ["-c", `cd "$(mktemp -d)" && ${script}`], {
      input: pem,
      encoding: "utf8",
    });
    expect(result.stdout + result.stderr).toContain("cert.pem: OK");
  });

  it("says which key it needs", () => {
    const rsa = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    expect(() => selfSignedCertificate({ domain, keyPem: rsa.privateKey, now })).toThrow(
      /tls\.pem.*rsa.*P-256/,
    );
  });
});

describe("a certificate that is there already", () => {
  it("serves on with the same key, name and time left", () => {
    expect(certificateServes(pem, { domain, keyPem, now })).toBe(true);
    expect(certificateServes(pem, { domain, keyPem, now: new Date("2036-10-01T00:00:00Z") })).toBe(true);
  });

  it.each([
    ["of another domain", pem, { domain: "other.example.org", keyPem, now }],
    ["of another key", pem, { domain, keyPem: makeTlsPem(), now }],
    ["near its end", pem, { domain, keyPem, now: new Date("2036-11-01T00:00:00Z") }],
    ["that is not valid yet", pem, { domain, keyPem, now: new Date("2025-12-31T00:00:00Z") }],
    ["cut off by a power cut", pem.slice(0, 300), { domain, keyPem, now }],
    ["of no bytes", "", { domain, keyPem, now }],
  ])("is made anew when it is one %s", (_what, text, input) => {
    expect(certificateServes(text, input)).toBe(false);
  });
});
