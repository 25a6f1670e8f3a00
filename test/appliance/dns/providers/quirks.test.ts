/** What is peculiar to single providers in appliance/dns/providers/, beyond what all promise (contract.test.ts). */
import { describe, expect, it } from "vitest";
import type { Credentials } from "../../../../appliance/dns/provider.ts";
import type { ValueRow } from "../../../../appliance/dns/record-set.ts";
import { TOTP_PERIOD, totpCode, totpKey } from "../../../../appliance/dns/totp.ts";
import { fakeDnsimple } from "../../../support/dns-providers/dnsimple.ts";
import { type FakeProvider, runFake } from "../../../support/dns-providers/fake-provider.ts";
import { fakeInwx } from "../../../support/dns-providers/inwx.ts";
import { fakeLinode } from "../../../support/dns-providers/linode.ts";
import { fakeNamecom } from "../../../support/dns-providers/namecom.ts";
import { fakeNetcup } from "../../../support/dns-providers/netcup.ts";
import { fakeNetcupCloud } from "../../../support/dns-providers/netcup-cloud.ts";
import { fakeNjalla } from "../../../support/dns-providers/njalla.ts";
import { fakeOvh } from "../../../support/dns-providers/ovh.ts";
import { fakeVultr } from "../../../support/dns-providers/vultr.ts";

const zone = "example.org";
const row = (name: string, type: string, value: string, ttl = 3600): ValueRow => ({ name, type, ttl, value });
const set = (name: string, type: string, ...values: string[]) => ({ name, type, ttl: 3600, values });
const foreign = [
  row(zone, "A", "198.51.100.1"),
  row(zone, "MX", "10 mail.example.org."),
  row(zone, "TXT", '"v=spf1 mx -all"'),
  row(`www.${zone}`, "CNAME", "example.org."),
];
const texts = (rows: readonly ValueRow[]) =>
  rows.map(({ name, type, value }) => `${name} ${type} ${value}`).sort();

function connect(fake: FakeProvider, credentials: Credentials = {}) {
  const run = runFake(fake);
  return { ...run, provider: fake.description.connect({ ...fake.credentials, ...credentials }, run) };
}

describe("OVH", () => {
  const rules = (...all: string[]) =>
    all.map((rule) => ({ method: rule.split(" ")[0]!, path: rule.split(" ")[1]! }));
  const own = `/domain/zone/${zone}`;

  it("tells whether keys may change the zone, as far as they may ask that", async () => {
    const whole = rules(...["GET", "POST", "PUT", "DELETE"].map((method) => `${method} ${own}/*`));
    const told = async (...some: [ReturnType<typeof rules> | null] | []) =>
      await connect(fakeOvh(zone, foreign, ...some)).provider.check(zone);
    expect([await told(), await told(whole), await told(null)]).toEqual(["allowed", "allowed", "untold"]);
  });

  it.each<[what: string, rules: string[], lacks: RegExp]>([
    ["reading alone", [`GET ${own}/*`], /lack POST \/domain\/zone\/example\.org\/record;/],
    [
      "everything but publishing",
      ["POST", "PUT", "DELETE"].map((method) => `${method} ${own}/record*`).concat(`GET ${own}/*`),
      /lack POST .*\/refresh;/,
    ],
    [
      "another zone",
      ["POST", "PUT", "DELETE"].map((method) => `${method} /domain/zone/exampleXorg/*`).concat("GET /*"),
      /lack POST/,
    ],
  ])("says before a change what keys with rights to %s lack", async (_what, some, lacks) => {
    const { provider, requests } = connect(fakeOvh(zone, foreign, rules(...some)));
    await expect(provider.check(zone)).rejects.toMatchObject({
      ...{ problem: "credentials", message: expect.stringMatching(lacks) },
    });
    expect(requests.every(({ method }) => method === "GET")).toBe(true);
  });
});

describe("netcup", () => {
  it("gets every record back, so that nothing is lost even if it replaced the zone", async () => {
    const fake = fakeNetcup(zone, foreign, { replaces: true });
    const { provider, requests } = connect(fake);
    const ours = set(`chat.${zone}`, "A", "192.0.2.1");
    await provider.change(zone, [ours]);
    expect(texts(fake.rows())).toEqual(texts([...foreign, row(ours.name, "A", "192.0.2.1")]));
    const sent = requests.at(-1)!.body as { param: { dnsrecordset: { dnsrecords: object[] } } };
    expect(sent.param.dnsrecordset.dnsrecords).toContainEqual({
      ...{ id: "1002", hostname: "@", type: "MX", priority: "10", destination: "mail.example.org" },
      ...{ deleterecord: false, state: "yes" },
    });
    await connect(fake).provider.change(zone, [set(ours.name, "A")]);
    expect(texts(fake.rows())).toEqual(texts(foreign));
  });

  it("has one session for all requests, and a new one when it is over", async () => {
    const fake = fakeNetcup(zone, foreign);
    const { provider } = connect(fake);
    await provider.read(zone);
    await provider.read(zone);
    expect(fake.logins()).toBe(1);
    fake.endSessions();
    expect((await provider.read(zone)).length).toBe(4);
    expect(fake.logins()).toBe(2);
  });

  it("is given a new session when it forgets one at once, but not for ever", async () => {
    const fake = fakeNetcup(zone, foreign);
    fake.forgetNext(3);
    await connect(fake).provider.read(zone);
    expect(fake.logins()).toBe(4);
    fake.forgetNext(100);
    await expect(connect(fake).provider.read(zone)).rejects.toMatchObject({
      ...{ problem: "unreachable", message: expect.stringContaining("try again in some minutes") },
    });
    expect(fake.logins()).toBe(9);
  });

  it("has empty zones, and keeps a CAA without the account", async () => {
    const fake = fakeNetcup(zone, []);
    const { provider } = connect(fake);
    expect(await provider.read(zone)).toEqual([]);
    await provider.change(zone, [set(zone, "CAA", '0 issue "letsencrypt.org;accounturi=https://ca.test/1"')]);
    expect(texts(fake.rows())).toEqual([`${zone} CAA 0 issue "letsencrypt.org"`]);
  });

  it("says where a domain may be that its older interface does not show", async () => {
    await expect(connect(fakeNetcup(zone, [])).provider.check("newer.example")).rejects.toThrow(/CloudDNS/);
  });
});

describe("netcup CloudDNS", () => {
  it("sends a domain that is not in it to the other provider", async () => {
    const { provider } = connect(fakeNetcupCloud(zone, foreign));
    expect(await provider.zones()).toEqual([zone]);
    await expect(provider.check("older.example")).rejects.toThrow(/take the provider “netcup”/);
  });

  it("takes no draft of somebody else for the zone", async () => {
    const { provider, requests } = connect(fakeNetcupCloud(zone, foreign));
    expect((await provider.read(zone)).length).toBe(4);
    expect(requests.map(({ path }) => path).join()).not.toContain("draft");
  });
});

describe("INWX", () => {
  let time = Date.UTC(2026, 0, 1);
  const now = () => time;
  const key = "JBSWY3DPEHPK3PXP";
  const withClock = (fake: FakeProvider, totp: string) => {
    const waits: number[] = [];
    const wait = async (milliseconds: number) => {
      waits.push(milliseconds);
      time += milliseconds;
    };
    const { fetch } = runFake(fake);
    const clock = { now, wait };
    return { waits, provider: fake.description.connect({ ...fake.credentials, totp }, { fetch, clock }) };
  };

  it("is given the one-time password that it asks for, once a session", async () => {
    const fake = fakeInwx(zone, foreign, { now });
    const { provider, waits } = withClock(fake, key);
    await provider.check(zone);
    expect(await provider.zones()).toEqual(["a.example", "b.example", zone]);
    expect({ logins: fake.logins(), waits }).toEqual({ logins: 1, waits: [] });
    const digits = withClock(fakeInwx(zone, foreign, { now }), ` ${totpCode(totpKey(key)!, time)} `);
    await digits.provider.check(zone);
  });

  it("takes a password only once, so the next one is waited for", async () => {
    time += 12_000;
    const fake = fakeInwx(zone, foreign, { now, used: [totpCode(totpKey(key)!, time)] });
    const { provider, waits } = withClock(fake, key);
    await provider.check(zone);
    expect(waits.length).toBe(1);
    expect(waits[0]).toBeLessThanOrEqual(TOTP_PERIOD * 1000);
  });

  it("says what is missing when the second factor is, or is wrong", async () => {
    const fake = () => fakeInwx(zone, foreign, { now });
    await expect(withClock(fake(), "").provider.check(zone)).rejects.toThrow(/six digits or its key/);
    await expect(withClock(fake(), "000000").provider.check(zone)).rejects.toMatchObject({
      ...{ problem: "credentials", message: expect.stringContaining("Invalid TAN") },
    });
    await expect(withClock(fake(), "MFRGGZDFMZTWQ2LK").provider.check(zone)).rejects.toMatchObject({
      problem: "credentials",
    });
  });

  it("is logged in to again when the session is over", async () => {
    const fake = fakeInwx(zone, foreign);
    const { provider } = connect(fake);
    await provider.read(zone);
    fake.endSessions();
    expect((await provider.read(zone)).some(({ type }) => type === "MX")).toBe(true);
    expect(fake.logins()).toBe(2);
  });
});

describe("Njalla", () => {
  it("may number its records by number or by text", async () => {
    for (const ids of ["number", "text"] as const) {
      const fake = fakeNjalla(zone, foreign, { ids });
      await connect(fake).provider.change(zone, [set(zone, "A", "192.0.2.1"), set(zone, "TXT")]);
      expect(texts(fake.rows())).toContain(`${zone} A 192.0.2.1`);
      expect(fake.rows().length).toBe(3);
    }
  });

  it("keeps to itself by what secret an address changes", async () => {
    const dynamic = {
      id: "7",
      name: "home",
      type: "Dynamic",
      content: "update-key",
      ttl: 60,
      current_ips: ["192.0.2.7"],
    };
    const sets = await connect(fakeNjalla(zone, foreign, { dynamic: [dynamic] })).provider.read(zone);
    expect(JSON.stringify(sets)).not.toContain("update-key");
    expect(sets).toContainEqual({ name: `home.${zone}`, type: "DYNAMIC", ttl: 60, values: ["192.0.2.7"] });
  });

  it("has few TTLs: the next higher one is taken", async () => {
    const fake = fakeNjalla(zone, []);
    await connect(fake).provider.change(zone, [{ ...set(zone, "A", "192.0.2.1"), ttl: 4000 }]);
    expect(fake.rows()[0]?.ttl).toBe(10_800);
  });
});

describe("Linode", () => {
  it("keeps the TTL of a new record, and rounds it up", async () => {
    const fake = fakeLinode(zone, []);
    await connect(fake).provider.change(zone, [{ ...set(zone, "A", "192.0.2.1"), ttl: 4000 }]);
    expect(fake.rows()[0]?.ttl).toBe(7200);
  });

  it("refuses what it has no field for", async () => {
    const { provider } = connect(fakeLinode(zone, []));
    await expect(provider.change(zone, [set(zone, "CAA", '128 issue "ca.test"')])).rejects.toThrow(
      /no flags/,
    );
    await expect(provider.change(zone, [set(zone, "SRV", "0 1 443 c.test.")])).rejects.toThrow(
      /_service\._protocol/,
    );
  });
});

describe("DNSimple", () => {
  it("finds the account of a user's token that has the zone", async () => {
    const fake = fakeDnsimple(zone, foreign, true);
    const { provider } = connect(fake);
    expect(await provider.zones()).toEqual(["elsewhere.example", zone, "other.example"]);
    await provider.change(zone, [set(zone, "A", "192.0.2.1")]);
    expect(texts(fake.rows())).toContain(`${zone} A 192.0.2.1`);
  });
});

describe("Name.com", () => {
  it("gets the rest of a record back with a new TTL, and no CAA", async () => {
    const fake = fakeNamecom(zone, [row(zone, "MX", "10 mail.example.org.", 300)]);
    await connect(fake).provider.change(zone, [
      ...[set(zone, "MX", "10 mail.example.org."), set(zone, "CAA", '0 issue "ca.test"')],
    ]);
    expect(fake.rows()).toMatchObject([row(zone, "MX", "10 mail.example.org.")]);
  });
});

describe("Vultr", () => {
  it("names the address list among the mends, and takes no TXT with quotes", async () => {
    const fake = fakeVultr(zone, foreign);
    const run = runFake(fake, () => fake.failures.forbidden);
    await expect(fake.description.connect(fake.credentials, run).check(zone)).rejects.toThrow(
      /Access Control/,
    );
    await expect(connect(fake).provider.change(zone, [set(zone, "TXT", '"a \\"b\\""')])).rejects.toThrow(
      /quotes/,
    );
  });

  it("is not followed in circles", async () => {
    const fake = fakeVultr(zone, foreign);
    const circle = { status: 200, body: { records: [], meta: { links: { next: "bmV4dA==" } } } };
    const run = runFake(fake, () => circle);
    await expect(fake.description.connect(fake.credentials, run).read(zone)).rejects.toThrow(/circles/);
  });
});
