/** What only Cloudflare has: permissions that the zone tells, and a proxy in front of addresses. */
import { describe, expect, it } from "vitest";
import { cloudflare } from "../../../../appliance/dns/providers/cloudflare.ts";
import { fakeCloudflare } from "../../../support/dns-providers/cloudflare.ts";
import { runFake } from "../../../support/dns-providers/fake-provider.ts";

const zone = "example.org";
const name = `chat.${zone}`;

describe("Cloudflare", () => {
  it("is found out to give a token no right to change records, before anything is changed", async () => {
    const fake = fakeCloudflare(zone, [], ["#dns_records:read", "#zone:read"]);
    const provider = cloudflare.connect(fake.credentials, runFake(fake));
    await expect(provider.check(zone)).rejects.toMatchObject({
      problem: "credentials",
      message: expect.stringContaining('give it the permission "Zone / DNS / Edit"'),
    });
  });

  it("shows that its proxy stands before an address, and takes it away for the address itself", async () => {
    const fake = fakeCloudflare(zone, []);
    const provider = cloudflare.connect(fake.credentials, runFake(fake));
    const proxied = { name, type: "A", ttl: 300, values: ["192.0.2.1 proxied"] };
    await provider.change(zone, [proxied]);
    expect(fake.rows()).toMatchObject([{ value: "192.0.2.1 proxied" }]);
    expect(await provider.read(zone)).toEqual([proxied]);
    const bare = { ...proxied, values: ["192.0.2.1"] };
    await provider.change(zone, [bare]);
    expect(await provider.read(zone)).toEqual([bare]);
    // As a back-up puts it back.
    await provider.change(zone, [proxied]);
    expect(await provider.read(zone)).toEqual([proxied]);
  });
});
