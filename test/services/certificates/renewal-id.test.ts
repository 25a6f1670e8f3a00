/** By what an authority knows a certificate (services/certificates/renewal-id.ts). */
import { describe, expect, it } from "vitest";
import { parseCertificateChain } from "../../../appliance/certificate-chain.ts";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { renewalId } from "../../../services/certificates/renewal-id.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";

const domain = "chat.example.org";
const keyPem = makeEcPem();
const now = new Date("2026-11-21T12:00:00Z");
const authority = await makeTestAuthority(now);

describe("a certificate", () => {
  // The first is the example of RFC 9773 §4.1.
  it.each([
    ["87654321", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"],
    ["7f654321", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.f2VDIQ"],
    ["0087654321", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"],
  ])("is known to its authority by its serial number %s", async (serial, id) => {
    const signerKeyId = "69885b6b87464041e1b37b847ba0ae2cde01c8d4";
    expect(
      renewalId(parseCertificateChain(await authority.certify(keyPem, [domain], { serial, signerKeyId }))),
    ).toBe(id);
  });

  it("may lack what that is made of", () => {
    expect(renewalId(parseCertificateChain(selfSignedCertificate({ domain, keyPem, now })))).toBeUndefined();
  });
});
