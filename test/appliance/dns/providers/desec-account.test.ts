/** A free domain at deSEC (appliance/dns/providers/desec-account.ts), over a stand-in with accounts. */
import { describe, expect, it } from "vitest";
import { FREE_SUFFIX } from "../../../../appliance/dns/desec-free.ts";
import { desec } from "../../../../appliance/dns/providers/desec.ts";
import { desecAccount } from "../../../../appliance/dns/providers/desec-account.ts";
import { fakeDesecAccounts } from "../../../support/dns-providers/desec-account.ts";
import { runFake } from "../../../support/dns-providers/fake-provider.ts";

const domain = `wren.${FREE_SUFFIX}`;
const owner = { email: "owner@example.org", password: "correct horse battery" };

function start(faultOf?: Parameters<typeof runFake>[1]) {
  const fake = fakeDesecAccounts(domain);
  const run = runFake(fake, faultOf);
  const { fetch, clock, requests } = run;
  return { fake, requests, connect: { fetch, clock }, account: desecAccount(owner, { fetch, clock }) };
}

describe("a free domain at deSEC", () => {
  it("comes by mail and login, with a token for it alone", async () => {
    const { fake, account, connect } = start();
    await account.register({ domain });
    await expect(account.tokenFor(domain)).rejects.toMatchObject({
      problem: "credentials",
      message: expect.stringContaining("the link in the mail was not followed yet"),
    });
    expect(fake.followLink(owner.email)).toBe(true);
    const token = await account.tokenFor(domain);
    // The session has ended; nothing but the token is left.
    expect(fake.secrets()).toEqual([token]);
    const provider = desec.connect({ token }, connect);
    await provider.check(domain);
    const set = { name: domain, type: "A", ttl: 3600, values: ["192.0.2.1"] };
    await provider.change(domain, [set]);
    expect(await provider.read(domain, [set])).toEqual([set]);
  });

  it("is taken into an account that is there already", async () => {
    const { fake, account } = start();
    await account.register({ domain: `other.${FREE_SUFFIX}` });
    fake.followLink(owner.email);
    const token = await account.tokenFor(domain);
    expect(fake.secrets()).toEqual([token]);
    expect(await account.tokenFor(domain)).not.toBe(token);
  });

  it("is refused in words when the name is taken", async () => {
    const { fake, account } = start();
    fake.taken.add(domain);
    await expect(account.register({ domain })).rejects.toThrow(
      "deSEC did not take the wish for wren.dedyn.io: domain: This domain name is unavailable.",
    );
    fake.taken.clear();
    await account.register({ domain: `other.${FREE_SUFFIX}` });
    fake.followLink(owner.email);
    fake.taken.add(domain);
    await expect(account.tokenFor(domain)).rejects.toThrow("name: This domain name is unavailable.");
    expect(fake.secrets()).toEqual([]);
  });

  it("never gives a token away that could do more", async () => {
    const { fake, account } = start((_number, { path, text }) =>
      path.endsWith("/policies/rrsets/") && text.includes(domain) ? "refused" : undefined,
    );
    await account.register({ domain });
    fake.followLink(owner.email);
    const failed = account.tokenFor(domain);
    await expect(failed).rejects.toMatchObject({ problem: "unreachable" });
    await expect(failed).rejects.not.toThrow(owner.password);
    expect(fake.secrets()).toEqual([]);
  });
});
