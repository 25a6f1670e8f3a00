/**
 * What a check of a relay's records (installer/dns/check.ts) says of name servers, delegations, DNSSEC and the network
 * that it is asked from, by real name servers, a root above them, and a resolver.
 */
import { describe, expect, it } from "vitest";
import { checkDns } from "../../../installer/dns/check.ts";
import { type Place, startDelayLine } from "./delay-line.ts";
import { startHttpsFront } from "./https-front.ts";
import { missingServers, addresses as serverAddresses, type TestZone } from "./name-servers.ts";
import { bad, codes, desired, internetOf, lines, whole } from "./relay-zones.ts";

const farServers = [
  ...["far.test. 60 NS ns1.far.test.", "far.test. 60 NS ns2.far.test."],
  ...["ns1.far.test. 60 A 127.0.0.23", "ns2.far.test. 60 A 127.0.0.24"],
];

const zones: TestZone[] = [
  whole("ok.test"),
  { name: "split.test", records: lines("split.test"), second: lines("split.test", "split.test MX") },
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

const silent = ["warning server-silent", "warning delegation-differs"];

describe.skipIf(missingServers !== undefined)(
  `a check of a zone's servers (${missingServers ?? "here"})`,
  () => {
    const internet = internetOf(zones);
    const check = (domain: string) => checkDns(desired(domain), { world: internet().world });

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
        await using https = await startHttpsFront(internet().world.resolvers[0]!);
        // At this port nobody listens.
        const world = { ...internet().world, port: 1, https: [https.url] };
        const report = await checkDns(desired("ok.test"), { world });
        expect(codes(report)).toEqual(["warning port-53-blocked"]);
        expect(report).toMatchObject({ works: true, path: "https", asked: [https.url], zone: "ok.test" });
      });

      it("takes the computer's own resolver where HTTPS leads nowhere too", async () => {
        const world = { ...internet().world, port: 1, https: ["http://127.0.0.1:1/dns-query"] };
        const report = await checkDns(desired("split.test"), { world });
        expect(codes(report)).toEqual(["warning port-53-blocked"]);
        expect(report).toMatchObject({ path: "resolver", zone: "split.test" });
      });
    });

    it("notices that somebody else answers for all name servers, and asks by HTTPS", async () => {
      await using https = await startHttpsFront(internet().world.resolvers[0]!);
      const nowhere = "127.0.0.97";
      await using _everywhere = await startDelayLine(
        { address: nowhere, port: internet().port },
        internet().world.resolvers[0]!,
        0,
      );
      const report = await checkDns(desired("ok.test"), {
        world: { ...internet().world, nowhere, https: [https.url] },
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
      await using https = await startHttpsFront(internet().world.resolvers[0]!);
      // A name server, which validates nothing.
      const resolvers = [{ address: serverAddresses.first, port: internet().port }];
      const world = { ...internet().world, resolvers, https: [https.url] };
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

    it("finds the zone from the root when no resolver answers", async () => {
      const world = { ...internet().world, resolvers: [] };
      const report = await checkDns(desired("ok.test"), { world });
      expect(report).toMatchObject({ works: true, zone: "ok.test", path: "servers" });
      expect(report.servers).toHaveLength(2);
    });

    it("asks only the servers that it is told to", async () => {
      const ask = (server: string) =>
        checkDns(desired("split.test"), {
          world: internet().world,
          servers: [{ address: server, port: internet().port }],
        });
      expect(await ask(serverAddresses.first)).toMatchObject({ works: true, zone: "split.test" });
      expect(bad(await ask(serverAddresses.second))).toEqual(["split.test MX missing"]);
      expect(codes(await ask(serverAddresses.above))).toEqual(["error server-lame"]);
    });

    it("finds all well over lines with a delay", async () => {
      await using lines = new AsyncDisposableStack();
      const { port, world } = internet();
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
