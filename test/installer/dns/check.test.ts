/** What a check of a relay's records (installer/dns/check.ts) says of each of them, by real name servers. */
import { describe, expect, it } from "vitest";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { checkDns } from "../../../installer/dns/check.ts";
import { painterFor } from "../../../installer/dns/painter.ts";
import { reportText } from "../../../installer/dns/report-text.ts";
import { missingServers, type TestZone } from "./name-servers.ts";
import {
  address,
  bad,
  codes,
  desired,
  internetOf,
  lines,
  otherKey,
  publicKey,
  record,
  whole,
  withOut,
} from "./relay-zones.ts";

const dkim = (name: string, text: string) => `homing1._domainkey.${name}. 60 TXT ${text}`;
const pieces = (text: string, size: number) =>
  (text.match(new RegExp(`.{1,${size}}`, "g")) ?? []).map((piece) => `"${piece}"`).join(" ");
const keyText = (p: string) => `v=DKIM1;k=rsa;p=${p};s=email;t=s`;

const zones: TestZone[] = [
  whole("ok.test"),
  {
    name: "alike.test",
    records: [
      ...lines(
        "alike.test",
        "alike.test MX",
        "alike.test TXT",
        "homing1",
        "www",
        "_dmarc",
        "_mta-sts",
        "alike.test CAA",
      ),
      "alike.test. 7200 MX 10 ALIKE.Test.",
      'alike.test. 60 TXT "V=SPF1 mx a -ALL"',
      'alike.test. 60 TXT "site-verification=0123456789"',
      `alike.test. 60 TXT ${pieces("filler ".repeat(300), 250)}`,
      dkim("alike.test", pieces(`v=DKIM1; k=rsa; t=s; p=${publicKey}`, 60)),
      `www.alike.test. 60 A ${address}`,
      '_dmarc.alike.test. 60 TXT "v=DMARC1; p=REJECT; adkim=s; aspf=s; rua=mailto:x@alike.test"',
      '_mta-sts.alike.test. 60 TXT "v=STSv1; id=202601010000;"',
      'alike.test. 60 CAA 0 issue "LetsEncrypt.org; accounturi=https://ca.test/1"',
      'alike.test. 60 CAA 0 iodef "mailto:x@alike.test"',
    ],
  },
  withOut("back-up.test", [], "back-up.test. 60 MX 20 mx.elsewhere.test."),
  withOut("foreign.test", ["@ MX"], "foreign.test. 60 MX 5 route1.mx.cloudflare.net."),
  withOut("better.test", [], "better.test. 60 MX 1 mx.elsewhere.test."),
  withOut("null.test", ["@ MX"], "null.test. 60 MX 0 ."),
  { name: "empty.test", records: [] },
  withOut("key.test", ["homing1"], dkim("key.test", pieces(keyText(otherKey), 250))),
  withOut("moved.test", ["homing1"], "homing1._domainkey.moved.test. 60 CNAME homing1._domainkey.ok.test."),
  withOut("stray.test", ["@ A"], "stray.test. 60 A 22.33.44.55"),
  withOut("beside.test", [], "beside.test. 60 AAAA 2a00::1"),
  withOut("alias.test", ["www"], "www.alias.test. 60 CNAME parkingpage.namecheap.com."),
  withOut("place.test", ["www"], "www.place.test. 60 A 22.33.44.55"),
  withOut("parked.test", ["www"], "*.parked.test. 60 CNAME pixie.porkbun.com."),
  withOut("twice.test", [], 'twice.test. 60 TXT "v=spf1 include:_spf.elsewhere.test -all"'),
  withOut("forbids.test", ["@ CAA"], 'forbids.test. 60 CAA 0 issue "other-ca.test"'),
  withOut(
    "inherits.test",
    ["@ CAA"],
    'inherits.test. 60 CAA 0 issue "other-ca.test"',
    ...lines("chat.inherits.test", "chat.inherits.test CAA"),
  ),
  { name: "sub.test", records: ["x.sub.test. 60 CNAME elsewhere.test."] },
  { name: "split.test", records: lines("split.test"), second: lines("split.test", "split.test MX") },
  withOut(
    "steers.test",
    ["www", "@ MX"],
    "www.steers.test. 60 CNAME \\027\\0912J.x.test.",
    "steers.test. 60 MX 1 \\155\\027c.x.test.",
  ),
  // As a registrar leaves a new domain.
  {
    name: "fresh.test",
    records: ["*.fresh.test. 60 CNAME pixie.porkbun.com.", "fresh.test. 60 A 22.33.44.55"],
  },
];

describe.skipIf(missingServers !== undefined)(
  `a check of a relay's records (${missingServers ?? "here"})`,
  () => {
    const internet = internetOf(zones);
    const check = (domain: string) => checkDns(desired(domain), { world: internet().world });

    it("raises no false alarm about other ways to write the same", async () => {
      const report = await check("alike.test");
      expect([...bad(report), ...codes(report)]).toEqual([]);
      expect(report.works).toBe(true);
    });

    it("says that mail does not work where an address that nobody named is beside the relay's", async () => {
      const report = await check("beside.test");
      expect(codes(report)).toEqual(["error stray-address"]);
      expect(report.findings[0]?.text).toBe(
        "beside.test also leads to 2a00::1, which was not named as the relay's",
      );
      expect(report.works).toBe(false);
    });

    it.each<
      [what: string, zone: string, name: string, type: string, state: string, words: RegExp, works: boolean]
    >([
      [
        "an MX of better preference",
        "better.test",
        "",
        "MX",
        "conflicts",
        /goes to mx\.elsewhere\.test/,
        false,
      ],
      [
        "mail that goes elsewhere",
        "foreign.test",
        "",
        "MX",
        "conflicts",
        /Cloudflare's Email Routing/,
        false,
      ],
      ["a null MX", "null.test", "", "MX", "conflicts", /nobody/, false],
      ["a second MX of worse preference", "back-up.test", "", "MX", "ok", /mx\.elsewhere\.test/, true],
      ["another DKIM key", "key.test", "homing1._domainkey.", "TXT", "differs", /another key/, false],
      ["a key behind an alias", "moved.test", "homing1._domainkey.", "TXT", "ok", /^$/, true],
      ["another address", "stray.test", "", "A", "differs", /leads to 22\.33\.44\.55/, false],
      [
        "an alias that leads to a parking page",
        "alias.test",
        "www.",
        "CNAME",
        "differs",
        /parking page/,
        false,
      ],
      [
        "addresses in the place of an alias",
        "place.test",
        "www.",
        "CNAME",
        "conflicts",
        /22\.33\.44\.55/,
        false,
      ],
      ["two SPF records", "twice.test", "", "TXT", "differs", /two SPF/, true],
      [
        "an authority that may not issue",
        "forbids.test",
        "",
        "CAA",
        "conflicts",
        /forbids letsencrypt/,
        false,
      ],
      [
        "a wildcard where a name is missing",
        "parked.test",
        "www.",
        "CNAME",
        "missing",
        /only a wildcard/,
        false,
      ],
      ["a server that lacks a record", "split.test", "", "MX", "missing", /^at ns2\.split\.test$/, false],
    ])("tells %s", async (_what, zone, name, type, state, words, works) => {
      const report = await check(zone);
      const found = record(report, `${name}${zone}`, type);
      expect(found).toMatchObject({ state, reason: expect.stringMatching(words) });
      expect(found.mend === "").toBe(state === "ok" && words.source === "^$");
      expect(report.works).toBe(works);
      // And nothing else.
      expect(bad(report)).toEqual(state === "ok" ? [] : [`${name}${zone} ${type} ${state}`]);
    });

    it("finds everything missing in a zone without the relay, and says what to add", async () => {
      const report = await check("empty.test");
      expect(report.works).toBe(false);
      expect(report.records.every(({ state, mend }) => state === "missing" && mend.startsWith("Add "))).toBe(
        true,
      );
      expect(codes(report)).toEqual([]);
      expect(record(report, "empty.test", "MX").mend).toBe("Add a record empty.test MX: 10 empty.test.");
    });

    it("finds a sub-domain in the zone above it, and what that says of certificates", async () => {
      const report = await check("chat.inherits.test");
      expect(report).toMatchObject({ zone: "inherits.test", works: false });
      expect(bad(report)).toEqual(["chat.inherits.test CAA conflicts"]);
      expect(record(report, "chat.inherits.test", "CAA").reason).toMatch(
        /^inherits\.test forbids letsencrypt/,
      );
    });

    it("hands no terminal what a zone holds to steer it", async () => {
      const report = await check("steers.test");
      expect(record(report, "www.steers.test", "CNAME").reason).toBe("leads to ?[2j.x.test");
      expect(JSON.stringify(report)).not.toMatch(/\\u00|\P{ASCII}/u);
    });

    it("blames no wildcard for what it gives way to", async () => {
      const report = await check("fresh.test");
      expect(bad(report).filter((each) => !each.endsWith("missing"))).toEqual(["fresh.test A differs"]);
      expect(codes(report)).toEqual(["warning wildcard"]);
      const below = await check("chat.fresh.test");
      expect(below.records.every(({ state, mend }) => state === "missing" && mend.startsWith("Add "))).toBe(
        true,
      );
      expect(codes(below)).toEqual(["warning wildcard"]);
    });

    it("sees that an alias stands where the relay shall be", async () => {
      const report = await check("x.sub.test");
      expect(codes(report)).toContain("error alias-conflict");
      expect(record(report, "x.sub.test", "MX").state).toBe("conflicts");
      expect(record(report, "x.sub.test", "A").mend).toBe("Remove the CNAME record at x.sub.test.");
    });

    it("takes any public address and any DKIM key of a relay that it does not know", async () => {
      const ask = (domain: string, selector: string) =>
        checkDns(
          { domain, records: relayRecords({ domain, dkim: [] }), selectors: [selector] },
          { world: internet().world },
        );
      expect(await ask("ok.test", "homing1")).toMatchObject({ works: true, findings: [] });
      expect(bad(await ask("ok.test", "other"))).toEqual(["other._domainkey.ok.test TXT missing"]);
    });

    it("calls no address right that nobody named as the relay's", async () => {
      const ask = (domain: string, selectors?: string[]) => {
        const records = relayRecords({ domain, dkim: [{ selector: "homing1", publicKey }] });
        return checkDns({ domain, records, ...(selectors && { selectors }) }, { world: internet().world });
      };
      const own = await ask("stray.test");
      expect(own.works).toBe(false);
      expect(bad(own)).toEqual(["stray.test A unknown"]);
      expect(record(own, "stray.test", "A")).toMatchObject({
        ...{ severity: "error", mend: expect.stringContaining("--address") },
        reason: "leads to 22.33.44.55; whether the relay is there is not known",
      });
      expect(reportText(own, painterFor({}, {}))).toContain(
        "Whether mail will work is not known: 1 open question.",
      );
      // Of a relay that may be anybody's, there is nothing to ask.
      const foreign = await ask("stray.test", ["homing1"]);
      expect(foreign.works).toBe(true);
      expect(record(foreign, "stray.test", "A")).toMatchObject({ state: "ok", severity: "warning" });
      const parked = await ask("fresh.test", ["homing1"]);
      expect(record(parked, "fresh.test", "A")).toMatchObject({
        ...{ state: "unknown", reason: expect.stringContaining("maybe a parking page") },
      });
    });

    it.each<[what: string, zone: string, code: string[], words: RegExp, works: boolean]>([
      ["a wildcard", "parked.test", ["warning wildcard"], /\*\.parked\.test .*parking/, false],
      ["a mail service to switch off", "foreign.test", ["warning foreign-mail"], /Cloudflare/, false],
    ])("finds %s", async (_what, zone, code, words, works) => {
      const report = await check(zone);
      expect(codes(report)).toEqual(code);
      expect(report.findings[0]?.text).toMatch(words);
      expect(report.findings.every(({ mend }) => /^[A-Z].*[^.]\.$/s.test(mend))).toBe(true);
      expect(report.works).toBe(works);
    });

    it("knows the account that alone may get certificates", async () => {
      const account = (accountUri: string, domain: string) => {
        const dkimKeys = [{ selector: "homing1", publicKey }];
        const records = relayRecords({ domain, dkim: dkimKeys, addresses: [address], accountUri });
        return checkDns({ domain, records }, { world: internet().world });
      };
      expect(bad(await account("https://ca.test/1", "alike.test"))).toEqual([]);
      expect(bad(await account("https://ca.test/2", "alike.test"))).toEqual(["alike.test CAA conflicts"]);
      expect(bad(await account("https://ca.test/1", "ok.test"))).toEqual(["ok.test CAA differs"]);
    });
  },
);
