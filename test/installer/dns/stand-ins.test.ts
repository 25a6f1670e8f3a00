/** A relay's records published by installer/dns at the stand-in of every provider: planned, written, right as they are. */
import { describe, expect, it } from "vitest";
import { recordSets, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { applyDns, applyUndo, planUndo, readPlan, type ZoneKeeper } from "../../../installer/dns/apply.ts";
import type { ZoneBackup } from "../../../installer/dns/backup.ts";
import { runFake } from "../../support/dns-providers/fake-provider.ts";
import { fakes } from "../../support/dns-providers/fakes.ts";

const zone = "example.org";
const domain = `chat.${zone}`;
const dkim = [{ selector: "opendkim", publicKey: "MIIBIjANBgkqhkiG9w0B+/".padEnd(392, "aB3/+") }];
const authority = "letsencrypt.org;accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1234567";
const desired = {
  domain,
  records: relayRecords({ domain, dkim, addresses: ["11.22.33.44", "2a00::44"], authority }),
};
const foreign: ValueRow[] = [
  { name: zone, type: "A", ttl: 3600, value: "22.33.44.55" },
  { name: domain, type: "TXT", ttl: 3600, value: '"site-verification=abc"' },
  { name: domain, type: "AAAA", ttl: 3600, value: "2a00::1" },
];
const texts = (rows: readonly ValueRow[]) =>
  rows
    .filter(({ type }) => !["NS", "SOA"].includes(type))
    .map(({ name, type, value }) => `${name} ${type} ${value}`)
    .sort();

const noteFinished = async () => {};

describe.each(Object.entries(fakes))("the records of a relay at %s", (id, makeFake) => {
  it("are published, are right as they are then, and can be taken back", async () => {
    const fake = makeFake(zone, foreign);
    const { fetch, clock, requests } = runFake(fake);
    const { minTtl, approximate, connect } = fake.description;
    const provider = connect(fake.credentials, { fetch, clock });
    const keeper: ZoneKeeper = { id, minTtl, ...(approximate && { approximate }), provider };
    const before = texts(fake.rows());
    const kept: ZoneBackup[] = [];
    const apply = () =>
      applyDns(desired, keeper, {
        confirm: async () => true,
        keepBackup: async (backup) => {
          kept.push(backup);
          return "kept";
        },
        noteFinished,
      });
    expect((await apply()).outcome).toBe("changed");
    const now = texts(fake.rows());
    const sets = recordSets(desired.records).map((set) => approximate?.(set) ?? set);
    for (const { name, type, values } of sets) {
      for (const value of values) expect(now).toContain(`${name} ${type} ${value}`);
    }
    expect(now).toContain(`${domain} TXT "site-verification=abc"`);

    const { plan } = await readPlan(desired, keeper);
    expect(plan.changes).toEqual([]);
    const asked = requests.length;
    expect((await apply()).outcome).toBe("unchanged");
    expect(requests.slice(asked).filter((request) => !fake.isRead(request))).toEqual([]);

    const steps = await planUndo(kept[0]!, provider);
    expect(steps.map(({ state }) => state)).toEqual(steps.map(() => "restore"));
    await applyUndo(kept[0]!, steps, provider);
    expect(texts(fake.rows())).toEqual(before);
  });

  it("are there after the second try when the line breaks before the last request of the first", async () => {
    const whole = makeFake(zone, foreign);
    const confirm = async () => true;
    const keepBackup = async () => "kept";
    const keeperOf = (fake: typeof whole, last = Number.POSITIVE_INFINITY) => {
      const run = runFake(fake, (number) => (number > last ? "refused" : undefined));
      const { minTtl, approximate } = fake.description;
      const provider = fake.description.connect(fake.credentials, { fetch: run.fetch, clock: run.clock });
      return { ...run, keeper: { id, minTtl, ...(approximate && { approximate }), provider } };
    };
    const { keeper, requests } = keeperOf(whole);
    await applyDns(desired, keeper, { confirm, keepBackup, noteFinished });
    const fake = makeFake(zone, foreign);
    const broken = keeperOf(fake, requests.length - 1).keeper;
    await expect(applyDns(desired, broken, { confirm, keepBackup, noteFinished })).rejects.toThrow();
    await applyDns(desired, keeperOf(fake).keeper, { confirm, keepBackup, noteFinished });
    expect(texts(fake.rows())).toEqual(texts(whole.rows()));
  });
});

describe("a domain as Porkbun sells it", () => {
  const parked: ValueRow[] = [
    { name: zone, type: "ALIAS", ttl: 600, value: "pixie.porkbun.com." },
    { name: `*.${zone}`, type: "CNAME", ttl: 600, value: "pixie.porkbun.com." },
  ];
  const atZone = {
    domain: zone,
    records: relayRecords({ domain: zone, dkim, addresses: ["11.22.33.44"], authority }),
  };

  it("gives its parking page up for a relay, with a yes to that, and gets it back", async () => {
    const fake = fakes.porkbun!(zone, parked);
    const { fetch, clock } = runFake(fake);
    const provider = fake.description.connect(fake.credentials, { fetch, clock });
    const kept: ZoneBackup[] = [];
    const callbacks = {
      ...{ confirm: async () => true, noteFinished },
      keepBackup: async (backup: ZoneBackup) => `kept ${kept.push({ ...backup, finished: true })}`,
    };
    const keeper: ZoneKeeper = { id: "porkbun", minTtl: fake.description.minTtl, provider };
    await expect(applyDns(atZone, keeper, callbacks)).rejects.toThrow("--remove-parking");
    expect(texts(fake.rows())).toEqual(texts(parked));
    await applyDns(atZone, { ...keeper, removeParking: true }, callbacks);
    expect(texts(fake.rows()).filter((text) => text.includes("pixie"))).toEqual([]);
    expect(texts(fake.rows())).toContain(`${zone} A 11.22.33.44`);
    await applyUndo(kept[0]!, await planUndo(kept[0]!, provider), provider);
    expect(texts(fake.rows())).toEqual(texts(parked));
  });
});
