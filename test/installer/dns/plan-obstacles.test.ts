/** What stops a plan for a zone, and what needs a yes of its own (installer/dns/plan-obstacles.ts, plan.ts). */
import { describe, expect, it } from "vitest";
import type { RecordSet } from "../../../appliance/dns/record-set.ts";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { applyUndo, planUndo } from "../../../installer/dns/apply.ts";
import { painterFor } from "../../../installer/dns/painter.ts";
import { planChanges } from "../../../installer/dns/plan.ts";
import { planText } from "../../../installer/dns/plan-text.ts";
import { apply, desiredOf, set, zone } from "./applied.ts";
import { memoryProvider } from "./memory-provider.ts";

const below = `chat.${zone}`;
const planned = (domain: string, sets: RecordSet[], limits = {}) =>
  planChanges(desiredOf(domain), zone, sets, limits);

describe("a plan is stopped by", () => {
  it.each<[what: string, domain: string, sets: RecordSet[], where: string, reason: RegExp, mend: RegExp]>([
    [
      "a mail server that cannot be read",
      zone,
      [set(zone, "MX", "10 example.test.", "mail.elsewhere.test")],
      `${zone} MX`,
      /“mail\.elsewhere\.test” is no value of a MX record/,
      /^Correct or remove that MX record at example\.test/,
    ],
    [
      "a text with broken quotes, where ours would be written beside it",
      zone,
      [set(zone, "TXT", '"broken')],
      `${zone} TXT`,
      /is no value of a TXT/,
      /^Correct or remove/,
    ],
    [
      "an alias of the zone itself",
      zone,
      [set(zone, "ALIAS", "site.elsewhere.test.")],
      `${zone} A`,
      /by a record ALIAS \(site\.elsewhere\.test\.\)/,
      /^Remove the record ALIAS at example\.test/,
    ],
    [
      "another provider's word for it",
      zone,
      [set(zone, "ANAME", "site.elsewhere.test.")],
      `${zone} A`,
      /ANAME/,
      /ANAME/,
    ],
    [
      "web forwarding where an alias shall be",
      zone,
      [set(`www.${zone}`, "URL", "https://elsewhere.test/")],
      `www.${zone} CNAME`,
      /URL/,
      /^Remove the record URL/,
    ],
    [
      "a name that is delegated away",
      below,
      [set(below, "NS", "ns1.elsewhere.test.")],
      `${below} A`,
      /delegated to other name servers \(ns1\.elsewhere\.test\.\)/,
      /^Publish the relay's records at those/,
    ],
    [
      "one above that is delegated away",
      `x.${below}`,
      [set(below, "NS", "ns1.elsewhere.test.")],
      `x.${below} A`,
      /chat\.example\.test is delegated/,
      /NS records at chat/,
    ],
    [
      "a name whose names below lead elsewhere",
      below,
      [set(below, "DNAME", "elsewhere.test.")],
      `homing1._domainkey.${below} TXT`,
      /all names below chat\.example\.test lead to elsewhere\.test\./,
      /^Remove the DNAME/,
    ],
    [
      "an alias",
      below,
      [set(below, "CNAME", "elsewhere.test.")],
      `${below} A`,
      /alias \(CNAME\) of elsewhere\.test/,
      /^Remove the CNAME/,
    ],
  ])("%s", (_what, domain, sets, where, reason, mend) => {
    const { obstacles } = planned(domain, sets);
    const [first] = obstacles;
    expect(`${first?.name} ${first?.type}`).toBe(where);
    expect(first?.reason).toMatch(reason);
    expect(first?.mend).toMatch(mend);
    expect(new Set(obstacles.map((each) => each.reason)).size).toBe(obstacles.length);
  });

  it("an address that nobody named, also where some address is already", () => {
    const desired = { domain: zone, records: relayRecords({ domain: zone, dkim: [] }) };
    for (const sets of [[], [set(zone, "A", "93.184.216.34")]]) {
      const { obstacles } = planChanges(desired, zone, sets);
      expect(obstacles).toMatchObject([
        { name: zone, type: "A", mend: expect.stringContaining("--address") },
      ]);
    }
  });

  it("nothing that does no harm: the zone's own servers, a wildcard, texts that stay, the provider's proxy", () => {
    const { obstacles, changes } = planned(zone, [
      set(zone, "NS", "ns1.elsewhere.test."),
      set(`*.${zone}`, "ALIAS", "site.elsewhere.test."),
      set(zone, "TXT", '"v=spf1 a ~all"', '"broken'),
      set(`blog.${zone}`, "DNAME", "elsewhere.test."),
      set(`shop.${zone}`, "NS", "ns1.elsewhere.test."),
      set(zone, "A", "11.22.33.44 proxied"),
    ]);
    expect(obstacles).toEqual([]);
    expect(changes).toContainEqual({
      before: set(zone, "A", "11.22.33.44 proxied"),
      after: expect.objectContaining({ name: zone, type: "A", values: ["11.22.33.44"] }),
    });
  });
});

describe("the parking page of a new domain", () => {
  const parked = [
    set(zone, "ALIAS", "pixie.porkbun.com."),
    set(`*.${zone}`, "CNAME", "pixie.porkbun.com."),
    set(`blog.${zone}`, "CNAME", "pixie.porkbun.com."),
  ];

  it("stops the plan, with the option that takes it away", async () => {
    const provider = memoryProvider(zone, parked);
    await expect(apply(zone, provider)).rejects.toThrow(
      /parking page of the registrar.*[\s\S]*--remove-parking/,
    );
    expect(provider.writes()).toBe(0);
    const { parking, notes } = planned(zone, parked);
    expect(parking).toEqual(parked.slice(0, 2));
    expect(notes.join()).toContain(`*.${zone} CNAME stays; a parking page`);
  });

  it("goes with a yes to it, nothing else does, and comes back", async () => {
    const provider = memoryProvider(zone, [...parked, set(`*.shop.${zone}`, "CNAME", "pixie.porkbun.com.")]);
    const before = provider.content();
    const { plan, kept } = await apply(zone, provider, { removeParking: true });
    const text = planText(plan, painterFor({}, {}));
    expect(text).toContain(`- ${zone} ALIAS pixie.porkbun.com.\n- *.${zone} CNAME pixie.porkbun.com.\n`);
    expect(text).toContain("2 to remove");
    const names = provider.content().map(({ name, type }) => `${name} ${type}`);
    expect(names).toEqual(
      expect.arrayContaining([`${zone} A`, `blog.${zone} CNAME`, `*.shop.${zone} CNAME`]),
    );
    expect(names).not.toContain(`${zone} ALIAS`);
    expect(names).not.toContain(`*.${zone} CNAME`);
    await applyUndo(kept!, await planUndo(kept!, provider), provider);
    expect(provider.content()).toEqual(before);
  });

  it("is none where the same kind of record leads to somebody's site", () => {
    const site = [
      set(zone, "ALIAS", "site.elsewhere.test."),
      set(`*.${zone}`, "CNAME", "site.elsewhere.test."),
    ];
    const { parking, changes, obstacles } = planned(zone, site, { removeParking: true });
    expect([parking, obstacles.length]).toEqual([[], 1]);
    expect(changes.every(({ before }) => before === null)).toBe(true);
  });
});

describe("a web page at the relay's name", () => {
  const site = [set(zone, "A", "93.184.216.34"), set(`www.${zone}`, "CNAME", "site.elsewhere.test.")];

  it("is named, for a yes of its own", () => {
    expect(planned(zone, site).websites).toEqual([
      { name: zone, leadsTo: "93.184.216.34" },
      { name: `www.${zone}`, leadsTo: "site.elsewhere.test." },
    ]);
  });

  it("is none where the relay's own key is: then that is its former address", () => {
    const key = desiredOf(zone).records.find(({ name }) => name.startsWith("homing1."));
    const text = key?.type === "TXT" ? `"${key.text}"` : "";
    const { websites, notes } = planned(zone, [...site, set(key!.name, "TXT", text)]);
    expect(websites).toEqual([]);
    expect(notes.join()).toContain("leads to 93.184.216.34 now");
  });

  it("goes with the yes where it has the family of addresses that the relay has not", async () => {
    const domain = { domain: zone, records: desiredOf(zone).records.filter(({ type }) => type !== "AAAA") };
    const sets = [
      set(zone, "A", "11.22.33.44"),
      set(zone, "AAAA", "2a00::1"),
      set(`b.${zone}`, "AAAA", "2a00::1"),
    ];
    const { changes, websites, notes, obstacles } = planChanges(domain, zone, sets);
    expect(obstacles).toEqual([]);
    expect(changes).toContainEqual({ before: sets[1], after: { ...sets[1], values: [] } });
    expect(changes.filter(({ before }) => before !== null)).toHaveLength(1);
    expect(websites).toEqual([{ name: zone, leadsTo: "2a00::1" }]);
    expect(notes.join()).toContain(`${zone} AAAA leads to 2a00::1, where clients and senders would go`);
    // With the relay's own key there too: nobody but the owner knows of an address that was forgotten.
    const key = domain.records.find(({ name }) => name.startsWith("homing1."));
    const own = set(key!.name, "TXT", key?.type === "TXT" ? `"${key.text}"` : "");
    expect(planChanges(domain, zone, [...sets, own]).websites).toHaveLength(1);
    expect(planned(zone, [set(zone, "AAAA", "2a00::44")]).websites).toEqual([]);
  });
});
