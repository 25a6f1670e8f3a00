import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RecordSet, recordSets } from "../../../appliance/dns/record-set.ts";
import { applyDns, applyUndo, planUndo, readPlan } from "../../../installer/dns/apply.ts";
import type { ZoneBackup } from "../../../installer/dns/backup.ts";
import { painterFor } from "../../../installer/dns/painter.ts";
import { planChanges } from "../../../installer/dns/plan.ts";
import { planText } from "../../../installer/dns/plan-text.ts";
import { apply, desiredOf, keeper, noteFinished, set, zone } from "./applied.ts";
import { memoryProvider } from "./memory-provider.ts";

const painter = painterFor({ isTTY: false }, {});

/** Foreign values that zones have, by type. */
const values: Readonly<Record<string, readonly string[]>> = {
  A: ["11.22.33.44", "22.33.44.55", "3.3.3.3"],
  AAAA: ["2a00::44", "2a00::1"],
  MX: ["10 example.test.", "10 chat.example.test.", "20 mx.elsewhere.test."],
  TXT: [
    ...[
      '"v=spf1 a ~all"',
      '"v=spf1 -all"',
      '"v=spf1 include:_spf.elsewhere.test ~all"',
      '"v=spf1 redirect=x.test"',
    ],
    ...[
      '"site=1"',
      '"v=DMARC1; p=none; rua=mailto:x@y.test"',
      '"v=STSv1; id=1"',
      '"v=DKIM1; p="',
      '"dkim=unknown"',
    ],
  ],
  CNAME: ["chat.example.test.", "parkingpage.namecheap.com."],
  CAA: [
    '0 issue "letsencrypt.org"',
    '0 issue "letsencrypt.org; accounturi=https://ca.test/2"',
    '0 issue ";"',
    '0 issue "pki.test"',
    '0 iodef "mailto:x@y.test"',
  ],
  SRV: ["0 1 993 chat.example.test.", "5 0 1 x.test."],
};
const labels = [
  "",
  "www.",
  "mta-sts.",
  "_dmarc.",
  "_mta-sts.",
  "homing1._domainkey.",
  "_imaps._tcp.",
  "*.",
  "blog.",
];
const domains = [zone, `chat.${zone}`];

const anySet = fc
  .record({
    label: fc.constantFrom(...labels),
    base: fc.constantFrom(...domains),
    type: fc.constantFrom(...Object.keys(values)),
  })
  .chain(({ label, base, type }) =>
    fc
      .subarray([...values[type]!], { minLength: 1, maxLength: type === "CNAME" ? 1 : 2 })
      .map((some) => set(`${label}${base}`, type, ...some)),
  );
/** Zones as the DNS allows them: nothing stands beside an alias. */
const anyZone = fc
  .uniqueArray(anySet, { selector: ({ name, type }) => `${name} ${type}`, maxLength: 12 })
  .map((sets) =>
    sets.filter(({ name, type }) =>
      type === "CNAME" ? !sets.some((each) => each.name === name && each.type !== "CNAME") : true,
    ),
  );

describe("any zone", () => {
  it("holds the relay's records after one run, whatever breaks on the way, and nothing foreign was touched", async () => {
    let [applied, refused] = [0, 0];
    const property = fc.asyncProperty(
      ...([anyZone, fc.constantFrom(...domains), fc.nat(30), fc.boolean()] as const),
      async (sets, domain, request, done) => {
        const before = memoryProvider(zone, sets).content();
        const ours = recordSets(desiredOf(domain).records).map(({ name, type }) => `${name} ${type}`);
        const isForeign = ({ name, type }: RecordSet) => !ours.includes(`${name} ${type}`);
        const smooth = memoryProvider(zone, sets);
        if (planChanges(desiredOf(domain), zone, sets).obstacles.length > 0) {
          refused++;
          await expect(apply(domain, smooth)).rejects.toThrow("nothing was changed");
          expect([smooth.content(), smooth.writes()]).toEqual([before, 0]);
          return;
        }
        applied++;
        const first = await apply(domain, smooth);
        expect(smooth.content().filter(isForeign)).toEqual(before.filter(isForeign));
        const texts = before.find(({ name, type }) => name === domain && type === "TXT")?.values ?? [];
        const kept = smooth.content().find(({ name, type }) => name === domain && type === "TXT")?.values;
        expect(kept).toEqual(expect.arrayContaining(texts.filter((text) => !text.startsWith('"v=spf1'))));

        const writes = smooth.writes();
        expect((await apply(domain, smooth)).outcome).toBe("unchanged");
        expect(smooth.writes()).toBe(writes);

        const rough = memoryProvider(zone, sets);
        rough.breakAt(request, done);
        const cut = await apply(domain, rough).catch((error: Error) => error.name);
        rough.breakAt(undefined);
        if (cut === "DnsProviderError") await apply(domain, rough);
        expect(rough.content().map(({ name, type, values: all }) => ({ name, type, all }))).toEqual(
          smooth.content().map(({ name, type, values: all }) => ({ name, type, all })),
        );

        if (first.kept === undefined) return;
        await applyUndo(first.kept, await planUndo(first.kept, smooth), smooth);
        expect(smooth.content()).toEqual(before);
        expect((await planUndo(first.kept, smooth)).every(({ state }) => state === "restored")).toBe(true);
      },
    );
    await fc.assert(property, { numRuns: 400 });
    // Neither of the two may be the rule without exception, or half of this proves nothing.
    expect(applied).toBeGreaterThan(40);
    expect(refused).toBeGreaterThan(40);
  });

  it("can be restored from a change that was cut off", async () => {
    const property = fc.asyncProperty(anyZone, fc.nat(25), fc.boolean(), async (sets, request, done) => {
      const provider = memoryProvider(zone, sets);
      const before = provider.content();
      provider.breakAt(request, done);
      let backup: ZoneBackup | undefined;
      const keepBackup = async (kept: ZoneBackup) => {
        backup = kept;
        return "kept";
      };
      const noteFinished = async () => {
        backup = { ...backup!, finished: true };
      };
      const callbacks = { confirm: async () => true, keepBackup, noteFinished };
      await applyDns(desiredOf(zone), keeper(provider), callbacks).catch((error: Error) => {
        if (!["DnsProviderError", "PlanObstacleError"].includes(error.name)) throw error;
      });
      provider.breakAt(undefined);
      if (backup === undefined) return;
      await applyUndo(backup, await planUndo(backup, provider), provider);
      expect(provider.content()).toEqual(before);
    });
    await fc.assert(property, { numRuns: 200 });
  });
});

describe("a plan", () => {
  it("reads as a diff", () => {
    const sets = [
      set(zone, "A", "22.33.44.55"),
      set(zone, "TXT", '"site=1"', '"v=spf1 include:_spf.elsewhere.test ~all"'),
      set(`www.${zone}`, "CNAME", "parkingpage.namecheap.com."),
      set(`*.${zone}`, "A", "22.33.44.55"),
    ];
    const lines = planText(planChanges(desiredOf(zone), zone, sets), painter).split("\n");
    expect(lines.slice(0, 3)).toEqual(["~ example.test A", "    - 22.33.44.55", "    + 11.22.33.44"]);
    expect(lines).toEqual(expect.arrayContaining(["+ example.test MX 10 example.test."]));
    const spf = lines.indexOf("~ example.test TXT");
    expect(lines.slice(spf + 1, spf + 4)).toEqual([
      '    - "v=spf1 include:_spf.elsewhere.test ~all"',
      '      "site=1"',
      '    + "v=spf1 a include:_spf.elsewhere.test ~all"',
    ]);
    expect(lines.at(-2)).toBe("Zone example.test: 12 to add, 3 to change, 0 right already.");
    expect(lines.some((line) => line.startsWith("Mind: *.example.test A stays"))).toBe(true);
  });

  it("shows no sequence by which a terminal is steered", () => {
    const plan = planChanges(desiredOf(zone), zone, [
      set(zone, "TXT", "\u001b]0;x\u0007"),
      set(zone, "MX", "1 \u001bc.x.test."),
    ]);
    expect(planText(plan, painter)).toContain("?]0;x?");
    expect(planText(plan, painter).replaceAll("\n", "")).not.toMatch(/\p{C}/u);
  });

  it("has colours for a terminal, unless NO_COLOR forbids them", () => {
    const plan = planChanges(desiredOf(zone), zone, []);
    expect(planText(plan, painterFor({ isTTY: true }, {}))).toContain(
      "\u001b[32m+ example.test A 11.22.33.44\u001b[39m",
    );
    expect(planText(plan, painterFor({ isTTY: true }, { NO_COLOR: "1" }))).not.toContain("\u001b");
  });

  it.each<[what: string, sets: RecordSet[], words: RegExp]>([
    [
      "mail of others",
      [set(zone, "MX", "1 mx.elsewhere.test.")],
      /MX: mail for example\.test goes to mx\.elsewhere\.test[\s\S]*chat\.example\.test/,
    ],
    [
      "an alias where the relay shall be",
      [set(zone, "CNAME", "x.test.")],
      /is an alias \(CNAME\) of x\.test/,
    ],
    [
      "records where an alias shall be",
      [set(`www.${zone}`, "TXT", '"x"')],
      /www\.example\.test CNAME: .*\(TXT\)/,
    ],
  ])("stops before %s", async (_what, sets, words) => {
    const provider = memoryProvider(zone, sets);
    await expect(apply(zone, provider)).rejects.toThrow(words);
    await expect(apply(zone, provider)).rejects.toMatchObject({ name: "PlanObstacleError" });
    expect(provider.writes()).toBe(0);
  });

  it("says which web site will not be found any more", async () => {
    const provider = memoryProvider(zone, [
      set(zone, "A", "93.184.216.34"),
      set(`www.${zone}`, "CNAME", "site.elsewhere.test."),
    ]);
    const { plan } = await readPlan(desiredOf(zone), keeper(provider));
    expect(plan.notes).toEqual([
      expect.stringContaining(`${zone} A leads to 93.184.216.34 now`),
      expect.stringContaining(`www.${zone} CNAME leads to site.elsewhere.test. now`),
    ]);
  });

  it("changes nothing when the owner says no", async () => {
    const provider = memoryProvider(zone, []);
    const callbacks = { confirm: async () => false, keepBackup: async () => "nowhere", noteFinished };
    expect((await applyDns(desiredOf(zone), keeper(provider), callbacks)).outcome).toBe("declined");
    expect(provider.writes()).toBe(0);
  });

  it("asks again about a zone that was changed while the owner thought, and keeps that one", async () => {
    const provider = memoryProvider(zone, []);
    const verification = set(zone, "TXT", '"site-verification=new"');
    let asked = 0;
    let kept: ZoneBackup | undefined;
    const applied = await applyDns(desiredOf(zone), keeper(provider), {
      confirm: async () => {
        if (++asked === 1) await provider.change(zone, [verification]);
        return true;
      },
      keepBackup: async (backup) => {
        kept = backup;
        return "kept";
      },
      noteFinished,
    });
    expect([applied.outcome, asked]).toEqual(["changed", 2]);
    const texts = provider.content().find(({ name, type }) => name === zone && type === "TXT");
    expect(texts?.values).toEqual(['"site-verification=new"', '"v=spf1 a ~all"']);
    expect(kept?.sets.map(({ values }) => values)).toEqual([['"site-verification=new"']]);
  });

  it("stops at mail servers that came while the owner thought", async () => {
    const provider = memoryProvider(zone, []);
    const applying = applyDns(desiredOf(zone), keeper(provider), {
      confirm: async () => {
        await provider.change(zone, [set(zone, "MX", "5 mx.other.test.")]);
        return true;
      },
      keepBackup: async () => "nowhere",
      noteFinished,
    });
    await expect(applying).rejects.toMatchObject({ name: "PlanObstacleError" });
    expect(provider.writes()).toBe(1);
  });

  it("gives up on a zone that never stays the same", async () => {
    const provider = memoryProvider(zone, []);
    let count = 0;
    const applying = applyDns(desiredOf(zone), keeper(provider), {
      confirm: async () => {
        await provider.change(zone, [set(zone, "TXT", `"text ${++count}"`)]);
        return true;
      },
      keepBackup: async () => "nowhere",
      noteFinished,
    });
    await expect(applying).rejects.toThrow("changes the zone all the time");
  });

  it.each<[before: string, after: string]>([
    ["v=spf1 include:mailer.test ~all", "v=spf1 a include:mailer.test ~all"],
    ["v=spf1 include:a.test include:b.test ?all", "v=spf1 a include:a.test include:b.test ?all"],
    ["v=spf1 ip4:192.0.2.1", "v=spf1 a ip4:192.0.2.1 ~all"],
    ["v=spf1 redirect=_spf.mailer.test", "v=spf1 a include:_spf.mailer.test ~all"],
    ["v=spf1 ip4:192.0.2.1 -all exp=why.test", "v=spf1 a ip4:192.0.2.1 -all exp=why.test"],
  ])("lets those go on sending who may: %s", async (before, after) => {
    const provider = memoryProvider(zone, [set(zone, "TXT", `"${before}"`)]);
    await apply(zone, provider);
    const texts = provider.content().find(({ name, type }) => name === zone && type === "TXT");
    expect(texts?.values).toEqual([`"${after}"`]);
    expect((await apply(zone, provider)).outcome).toBe("unchanged");
  });

  it("makes one SPF record of two", async () => {
    const two = set(zone, "TXT", '"v=spf1 include:a.test ~all"');
    const provider = memoryProvider(zone, [
      { ...two, values: [...two.values, '"v=spf1 include:b.test -all"', '"other"'] },
    ]);
    await apply(zone, provider);
    const texts = provider.content().find(({ name, type }) => name === zone && type === "TXT");
    expect(texts?.values).toEqual(['"other"', '"v=spf1 a include:a.test include:b.test -all"']);
  });

  it("says which zones the token sees when none holds the domain", async () => {
    const applying = apply("chat.other.test", memoryProvider(zone, []));
    await expect(applying).rejects.toThrow(
      /no zone|cannot see a zone that holds chat\.other\.test.*elsewhere\.test/,
    );
  });
});
