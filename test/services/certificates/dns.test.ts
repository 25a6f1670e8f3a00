/** Proofs in the zone of a registrar (services/certificates/dns.ts), over the stand-in of one. */
import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { openDns } from "../../../services/certificates/dns.ts";
import { fakeCloudflare } from "../../support/dns-providers/cloudflare.ts";
import { runFake } from "../../support/dns-providers/fake-provider.ts";
import { fakeOvh } from "../../support/dns-providers/ovh.ts";

const zone = "example.org";
const proof = { name: `_acme-challenge.chat.${zone}`, type: "TXT", ttl: 60, value: '"proof"' };
const { certificates } = parseRelayConfig(
  `domain = "chat.${zone}"\n[certificates]\nchallenge = "dns-01"\ndns_provider = "cloudflare"\n`,
  "relay.toml",
);

describe("the zone of a registrar", () => {
  it("takes proofs beside what is there, and gives them back", async () => {
    const other = { ...proof, value: '"of somebody else"' };
    const fake = fakeCloudflare(zone, [other]);
    const text = `# for the certificate\ntoken = "${fake.credentials.token}"\n`;
    const values = openDns(certificates, text, runFake(fake));
    const texts = () => fake.rows().map(({ value }) => value);
    await Promise.all([values.add(proof), values.add({ ...proof, value: '"second"' })]);
    expect(texts().sort()).toEqual(['"of somebody else"', '"proof"', '"second"']);
    await values.remove(proof);
    await values.remove({ ...proof, value: '"second"' });
    expect(texts()).toEqual(['"of somebody else"']);
  });

  it("that the credentials do not show is missed in words", async () => {
    const fake = fakeCloudflare("example.net", []);
    const values = openDns(certificates, `token = ${fake.credentials.token}`, runFake(fake));
    await expect(values.add(proof)).rejects.toThrow(`no zone that holds ${proof.name}`);
  });

  it("is published also when the proof was there already, left by a run that was cut off", async () => {
    const fake = fakeOvh(zone, []);
    const text = Object.entries(fake.credentials).map(([key, value]) => `${key} = ${value}`);
    const settings = { ...certificates, dnsProvider: "ovh" as const };
    const open = (connect: Parameters<typeof openDns>[2]) => openDns(settings, text.join("\n"), connect);
    const cutOff = open(
      runFake(fake, (_number, { path }) => (path.endsWith("/refresh") ? "refused" : undefined)),
    );
    await expect(cutOff.add(proof)).rejects.toThrow("did not publish");
    expect(fake.rows()).toEqual([]);
    await open(runFake(fake)).add(proof);
    expect(fake.rows().map(({ value }) => value)).toEqual(['"proof"']);
  });
});
