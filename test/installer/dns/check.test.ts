/** Checks of a relay's records (installer/dns/check.ts) against real name servers, a root above them, and a resolver. */
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordSets, txtStrings } from "../../../appliance/dns/record-set.ts";
import { dkimPublicKey, relayRecords } from "../../../appliance/dns/records.ts";
import { checkDns } from "../../../installer/dns/check.ts";
import type { DnsReport } from "../../../installer/dns/report.ts";
import { watchDns } from "../../../installer/dns/watch.ts";
import { type Place, startDelayLine } from "./delay-line.ts";
import { startHttpsFront } from "./https-front.ts";
import {
  missingServers,
  type SmallInternet,
  addresses as serverAddresses,
  startSmallInternet,
  type TestZone,
} from "./name-servers.ts";

const key = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const publicKey = dkimPublicKey(key().export({ type: "pkcs8", format: "pem" }) as string);
const otherKey = dkimPublicKey(key().export({ type: "pkcs8", format: "pem" }) as string);
const address = "11.22.33.44";

const desired = (domain: string) => ({
  domain,
  records: relayRecords({ domain, dkim: [{ selector: "homing1", publicKey }], addresses: [address] }),
});

/** The whole set as lines of a zone file; those whose “NAME TYPE” begins so are left out. */
function lines(domain: string, ...without: string[]): string[] {
  return recordSets(desired(domain).records)
    .filter(({ name, type }) => !without.some((each) => `${name} ${type}`.startsWith(each)))
    .flatMap(({ name, type, values }) =>
      values.map((value) => `${name}. 300 ${type} ${type === "TXT" ? txtStrings(value).join(" ") : value}`),
    );
}

const whole = (name: string): TestZone => ({ name, records: lines(name) });
const withOut = (name: string, without: string[], ...records: string[]): TestZone => ({
  name,
  records: [...lines(name, ...without.map((each) => each.replace("@", name))), ...records],
});

const dkim = (name: string, text: string) => `homing1._domainkey.${name}. 60 TXT ${text}`;
const pieces = (text: string, size: number) =>
  (text.match(new RegExp(`.{1,${size}}`, "g")) ?? []).map((piece) => `"${piece}"`).join(" ");
const keyText = (p: string) => `v=DKIM1;k=rsa;p=${p};s=email;t=s`;

/** Behind lines with a delay. */
const farServers = [
  ...["far.test. 60 NS ns1.far.test.", "far.test. 60 NS ns2.far.test."],
  ...["ns1.far.test. 60 A 127.0.0.23", "ns2.far.test. 60 A 127.0.0.24"],
];

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
  { name: "late.test", records: lines("late.test"), second: [] },
  { name: "lame.test", records: lines("lame.test"), second: null },
  {
    ...whole("silent.test"),
    delegation: [
      "silent.test. 60 NS ns1.silent.test.",
      "silent.test. 60 NS nowhere.silent.test.",
      `ns1.silent.test. 60 A ${serverAddresses.first}`,
      "nowhere.silent.test. 60 A 127.0.0.98",
    ],
  },
  {
    name: "gone.test",
    records: [],
    second: null,
    delegation: ["gone.test. 60 NS nowhere.gone.test.", "nowhere.gone.test. 60 A 127.0.0.98"],
  },
  { ...whole("far.test"), own: farServers, delegation: farServers },
  { ...whole("signed.test"), dnssec: "valid" },
  { ...whole("expired.test"), dnssec: "expired" },
  { ...whole("forged.test"), dnssec: "forged" },
  { ...whole("other-key.test"), dnssec: "other-key" },
  { ...whole("unsigned.test"), dnssec: "unsigned" },
];

const record = (report: DnsReport, name: string, type: string) => {
  const found = report.records.find((each) => each.name === name && each.type === type);
  if (found === undefined) throw new Error(`no ${name} ${type} in the report`);
  return found;
};
const silent = ["warning server-silent", "warning delegation-differs"];
const codes = (report: DnsReport) => report.findings.map(({ code, severity }) => `${severity} ${code}`);
const bad = (report: DnsReport) =>
  report.records
    .filter(({ state }) => state !== "ok")
    .map(({ name, type, state }) => `${name} ${type} ${state}`);

describe.skipIf(missingServers !== undefined)(
  `a check of a relay's records (${missingServers ?? "here"})`,
  () => {
    let folder: string;
    let internet: SmallInternet;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "homing-dns-"));
      internet = await startSmallInternet(folder, zones);
    }, 60_000);
    afterAll(async () => {
      await internet?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });
    const check = (domain: string) => checkDns(desired(domain), { world: internet.world });

    it("finds nothing wrong with the whole set at both servers", async () => {
      const report = await check("ok.test");
      expect(report).toMatchObject({
        works: true,
        zone: "ok.test",
        path: "servers",
        findings: [],
        asked: [],
      });
      expect(bad(report)).toEqual([]);
      expect(report.servers.map(({ server, state }) => `${server} ${state}`)).toEqual([
        "ns1.ok.test answers",
        "ns2.ok.test answers",
      ]);
    });

    it("raises no false alarm about other ways to write the same", async () => {
      const report = await check("alike.test");
      expect([...bad(report), ...codes(report)]).toEqual([]);
      expect(report.works).toBe(true);
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
          { world: internet.world },
        );
      expect(await ask("ok.test", "homing1")).toMatchObject({ works: true, findings: [] });
      expect(bad(await ask("ok.test", "other"))).toEqual(["other._domainkey.ok.test TXT missing"]);
    });

    it.each<[what: string, zone: string, code: string[], words: RegExp, works: boolean]>([
      [
        "servers that differ",
        "split.test",
        ["warning servers-disagree"],
        /split\.test MX: ns1.*version 1/,
        false,
      ],
      ["a server without the zone", "lame.test", ["warning server-lame"], /ns2\.lame\.test .*refuses/, true],
      ["a server that is silent", "silent.test", silent, /127\.0\.0\.98/, true],
      [
        "a zone that does not exist",
        "none.test",
        ["error delegation-missing"],
        /none\.test is in no zone: .* test,/,
        false,
      ],
      ["a wildcard", "parked.test", ["warning wildcard"], /\*\.parked\.test .*parking/, false],
      ["a mail service to switch off", "foreign.test", ["warning foreign-mail"], /Cloudflare/, false],
      ["expired signatures", "expired.test", ["error dnssec-broken"], /expired on \d{4}-/, false],
      [
        "forged records",
        "forged.test",
        ["error dnssec-broken"],
        /resolvers that check signatures refuse/,
        false,
      ],
      ["a DS of another key", "other-key.test", ["error dnssec-broken"], /none of the zone's keys/, false],
      ["a DS without signatures", "unsigned.test", ["error dnssec-broken"], /and it is not/, false],
    ])("finds %s", async (_what, zone, code, words, works) => {
      const report = await check(zone);
      expect(codes(report)).toEqual(code);
      expect(report.findings[0]?.text).toMatch(words);
      expect(report.findings.every(({ mend }) => /^[A-Z].*[^.]\.$/s.test(mend))).toBe(true);
      expect(report.works).toBe(works);
    });

    // Those that wait for silence, all at once.
    describe.concurrent("where nobody answers", () => {
      it("finds a zone without any server", async () => {
        const report = await check("gone.test");
        expect(codes(report)).toEqual(["error server-silent"]);
        expect(report.findings[0]?.text).toMatch(/nowhere\.gone\.test/);
        expect(report).toMatchObject({ works: false, zone: "gone.test" });
      });

      it("asks by HTTPS where nothing comes through to name servers", async () => {
        await using https = await startHttpsFront(internet.world.resolvers[0]!);
        // At this port nobody listens.
        const world = { ...internet.world, port: 1, https: [https.url] };
        const report = await checkDns(desired("ok.test"), { world });
        expect(codes(report)).toEqual(["warning port-53-blocked"]);
        expect(report).toMatchObject({ works: true, path: "https", asked: [https.url], zone: "ok.test" });
      });

      it("takes the computer's own resolver where HTTPS leads nowhere too", async () => {
        const world = { ...internet.world, port: 1, https: ["http://127.0.0.1:1/dns-query"] };
        const report = await checkDns(desired("split.test"), { world });
        expect(codes(report)).toEqual(["warning port-53-blocked"]);
        expect(report).toMatchObject({ path: "resolver", zone: "split.test" });
      });
    });

    it("notices that somebody else answers for all name servers, and asks by HTTPS", async () => {
      await using https = await startHttpsFront(internet.world.resolvers[0]!);
      const nowhere = "127.0.0.97";
      await using _everywhere = await startDelayLine(
        { address: nowhere, port: internet.port },
        internet.world.resolvers[0]!,
        0,
      );
      const report = await checkDns(desired("ok.test"), {
        world: { ...internet.world, nowhere, https: [https.url] },
      });
      expect(codes(report)).toEqual(["warning port-53-intercepted"]);
      expect(report).toMatchObject({ works: true, path: "https", zone: "ok.test" });
      expect(report.records.every(({ state }) => state === "ok")).toBe(true);
    });

    it("says of a signed zone that it verifies, and of another that it is unsigned", async () => {
      expect(await check("signed.test")).toMatchObject({ works: true, dnssec: "valid", findings: [] });
      expect((await check("ok.test")).dnssec).toBe("unsigned");
    });

    it("asks a resolver by HTTPS about a signed zone when the computer's own does not validate", async () => {
      await using https = await startHttpsFront(internet.world.resolvers[0]!);
      // A name server, which validates nothing.
      const resolvers = [{ address: serverAddresses.first, port: internet.port }];
      const world = { ...internet.world, resolvers, https: [https.url] };
      const outside = (domain: string) => checkDns(desired(domain), { world });
      expect(await outside("signed.test")).toMatchObject({
        dnssec: "valid",
        asked: [https.url],
        works: true,
      });
      expect(await outside("forged.test")).toMatchObject({
        dnssec: "broken",
        asked: [https.url],
        works: false,
      });
      expect(await outside("ok.test")).toMatchObject({ dnssec: "unsigned", asked: [], works: true });
    });

    it("says that there is no DNS rather than that something is missing", async () => {
      const world = { ...internet.world, resolvers: [], roots: [], https: [] };
      const report = await checkDns(desired("a.example.net.org"), { world });
      expect(codes(report)).toEqual(["error no-dns"]);
      expect(report).toMatchObject({ works: false, zone: null });
    });

    it("finds the zone from the root when no resolver answers", async () => {
      const world = { ...internet.world, resolvers: [] };
      const report = await checkDns(desired("ok.test"), { world });
      expect(report).toMatchObject({ works: true, zone: "ok.test", path: "servers" });
      expect(report.servers).toHaveLength(2);
    });

    it("asks only the servers that it is told to", async () => {
      const ask = (server: string) =>
        checkDns(desired("split.test"), {
          world: internet.world,
          servers: [{ address: server, port: internet.port }],
        });
      expect(await ask(serverAddresses.first)).toMatchObject({ works: true, zone: "split.test" });
      expect(bad(await ask(serverAddresses.second))).toEqual(["split.test MX missing"]);
      expect(codes(await ask(serverAddresses.above))).toEqual(["error server-lame"]);
    });

    it("knows the account that alone may get certificates", async () => {
      const account = (accountUri: string, domain: string) => {
        const dkimKeys = [{ selector: "homing1", publicKey }];
        const records = relayRecords({ domain, dkim: dkimKeys, addresses: [address], accountUri });
        return checkDns({ domain, records }, { world: internet.world });
      };
      expect(bad(await account("https://ca.test/1", "alike.test"))).toEqual([]);
      expect(bad(await account("https://ca.test/2", "alike.test"))).toEqual(["alike.test CAA conflicts"]);
      expect(bad(await account("https://ca.test/1", "ok.test"))).toEqual(["ok.test CAA differs"]);
    });

    it("waits until every server shows the records, and tells how many do", async () => {
      const looks: number[] = [];
      const state = await watchDns(desired("late.test"), {
        world: internet.world,
        awaited: [{ name: "late.test", type: "MX" }],
        clock: {
          now: () => performance.now(),
          wait: async () => internet.reload("late.test", "second", lines("late.test")),
        },
        onLook: ({ done }) => looks.push(done),
      });
      expect(state).toMatchObject({ done: 1, total: 1, report: { works: true } });
      expect(looks.at(0)).toBe(0);
      expect(looks.at(-1)).toBe(1);
    });

    it("gives up waiting when the time is over, and says what is missing", async () => {
      let time = 0;
      const wait = async (milliseconds: number) => {
        time += milliseconds;
      };
      const state = await watchDns(desired("split.test"), {
        ...{ world: internet.world, limit: 10_000, clock: { now: () => time, wait } },
      });
      expect(state).toMatchObject({ done: 13, total: 14, report: { works: false } });
      expect(time).toBeLessThanOrEqual(10_000);
    });

    it("finds all well over lines with a delay", async () => {
      await using lines = new AsyncDisposableStack();
      const { port, world } = internet;
      const delayed = async (from: string, to: Place) =>
        lines.use(await startDelayLine({ address: from, port }, to, 50));
      await delayed("127.0.0.23", { address: serverAddresses.first, port });
      await delayed("127.0.0.24", { address: serverAddresses.second, port });
      await delayed("127.0.0.30", world.resolvers[0]!);
      const far = { ...world, resolvers: [{ address: "127.0.0.30", port }] };
      const report = await checkDns(desired("far.test"), { world: far });
      expect(report).toMatchObject({ works: true, findings: [] });
      expect(report.servers.map(({ address: at }) => at)).toEqual(["127.0.0.23", "127.0.0.24"]);
    });
  },
);
