/** Reading and checking certificates with their chain (appliance/certificate-chain.ts). */
import { describe, expect, it } from "vitest";
import {
  CertificateChainError,
  checkCertificate,
  parseCertificateChain,
} from "../../appliance/certificate-chain.ts";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { makeEcPem, makeTestAuthority } from "../support/test-authority.ts";

const domain = "chat.example.org";
const keyPem = makeEcPem();
const now = new Date("2026-11-21T12:00:00Z");
const authority = await makeTestAuthority(now);
const leaf = await authority.certify(keyPem, [domain, "*.example.net"]);
const chain = leaf + authority.intermediate;

describe("a chain of certificates", () => {
  it("is read with whatever people keep around it", () => {
    const text = `Bag Attributes\r\n  friendlyName: x\r\n${chain.replaceAll("\n", "\r\n")}\r\n-- the end`;
    const parsed = parseCertificateChain(text);
    expect(parsed.pem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(parsed.isSelfSigned).toBe(false);
    expect(parsed.notBefore).toEqual(new Date("2026-11-20T12:00:00Z"));
    expect(parseCertificateChain(chain + authority.root).pem.match(/BEGIN/g)).toHaveLength(3);
  });

  it.each([
    ["nothing", "", /is not in PEM form/],
    ["a key", keyPem, /is not in PEM form/],
    [
      "one that is cut off",
      `${chain.slice(0, 200)}\n-----END CERTIFICATE-----\n`,
      /number 1 of the chain cannot be read/,
    ],
    ["another order", authority.intermediate + leaf, /out of order: number 2 .* did not sign number 1/],
    ["a gap", leaf + authority.root, /out of order/],
    ["a hundred", chain.repeat(50), /at most 10/],
  ])("is not %s", (_what, text, words) => {
    expect(() => parseCertificateChain(text)).toThrow(words);
    expect(() => parseCertificateChain(text)).toThrow(CertificateChainError);
  });

  it("is told from one that the relay signed itself", async () => {
    const own = selfSignedCertificate({ domain, keyPem, now });
    expect(parseCertificateChain(own).isSelfSigned).toBe(true);
    // Another key under the same names.
    expect(parseCertificateChain(await authority.certify(keyPem, [domain])).isSelfSigned).toBe(false);
  });

  it.each<[what: string, change: object, words: RegExp | undefined]>([
    ["its key, its names and its time", {}, undefined],
    ["a name that its wildcard covers", { names: ["chat.example.net"] }, undefined],
    ["another key", { keyPem: makeEcPem() }, /made for another private key/],
    ["other names", { names: [domain, "a.test", "192.0.2.1"] }, /is not for a\.test, 192\.0\.2\.1$/],
    ["a later time", { at: new Date("2030-01-01T00:00:00Z") }, /expired on 2029-08-17/],
    ["an earlier time", { at: new Date("2026-01-01T00:00:00Z") }, /not valid before 2026-11-20/],
  ])("is held against %s", (_what, change, words) => {
    const check = () =>
      checkCertificate(parseCertificateChain(chain), { keyPem, names: [domain], at: now, ...change });
    if (words === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(words);
  });

  it("covers a name with an underscore, which is none for a web browser", () => {
    const own = parseCertificateChain(selfSignedCertificate({ domain: "_a.test", keyPem, now }));
    expect(() => checkCertificate(own, { keyPem, names: ["_a.test", "www._a.test"] })).not.toThrow();
  });
});
