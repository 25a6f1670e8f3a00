/** What one look may wait in all (services/certificates/pending.ts), and how long records may take with each provider. */
import { expect, it } from "vitest";
import { providers } from "../../../appliance/dns/providers/providers.ts";
import { LONGEST_LOOK_MINUTES } from "../../../appliance/files/certificates.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { publicationLimitMs } from "../../../services/certificates/dns.ts";
import { createPatience } from "../../../services/certificates/pending.ts";

it("lets each wait take what it likes of the time that is left, and then nothing", () => {
  let now = 1000;
  const patience = createPatience(100, () => now);
  expect(patience(60)).toBe(60);
  now += 70;
  expect(patience(60)).toBe(30);
  now += 60;
  expect(patience(60)).toBe(0);
});

it("waits for the records of each provider as long as it takes, which one look can", () => {
  const limitOf = (dnsProvider: string) => {
    const text = `domain = "example.org"\n[certificates]\nchallenge = "dns-01"\ndns_provider = "${dnsProvider}"\n`;
    return publicationLimitMs(parseRelayConfig(text, "relay.toml").certificates) / 60_000;
  };
  expect(["cloudflare", "netcup"].map(limitOf)).toEqual([10, 20]);
  for (const { publicationMinutes = 0 } of providers)
    expect(publicationMinutes).toBeLessThan(LONGEST_LOOK_MINUTES);
});
