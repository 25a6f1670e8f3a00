/**
 * Any change of any zone at every provider (over its stand-in): broken off at any request and asked for again, it ends
 * where it shall, a third time sends nothing, and at no time is a record of somebody else gone or different.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DnsProviderError, type ProviderDescription } from "../../../../appliance/dns/provider.ts";
import { isSameName, type RecordSet, type ValueRow } from "../../../../appliance/dns/record-set.ts";
import { runFake } from "../../../support/dns-providers/fake-provider.ts";
import { fakes } from "../../../support/dns-providers/fakes.ts";

const zone = "example.org";
/** Enough of each provider to come by all ways of ending; the contract tries each one. */
const RUNS = 12;

const values: Readonly<Record<string, readonly string[]>> = {
  A: ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
  AAAA: ["2001:db8::1", "2001:db8::2"],
  MX: ["10 example.org.", "20 mx.example.net."],
  TXT: ['"v=spf1 a ~all"', '"a=b; c=d"', `"${"k".repeat(400)}"`],
  SRV: ["0 1 993 example.org.", "10 0 443 mail.example.net."],
  CAA: ['0 issue "ca.example"', '0 iodef "mailto:owner@example.org"'],
};
const ttl = fc.constantFrom(300, 3600, 7200);

/** What stands at a name: an alias alone, or sets of other types. Of SRV, the name says the service. */
const atName = (name: string): fc.Arbitrary<RecordSet[]> => {
  const types = name.startsWith("_") ? ["SRV"] : ["A", "AAAA", "MX", "TXT", "CAA"];
  const sets = types.map((type) =>
    fc.record({
      name: fc.constant(name),
      type: fc.constant(type),
      ttl,
      values: fc.subarray([...values[type]!]),
    }),
  );
  const alias = fc.record({
    ...{ name: fc.constant(name), type: fc.constant("CNAME"), ttl },
    values: fc.constantFrom(["example.org."], ["elsewhere.example."]),
  });
  const others = fc.tuple(...sets).map((all) => all.filter((set) => set.values.length > 0));
  return name === zone || name.startsWith("_")
    ? others
    : fc.oneof(
        others,
        alias.map((set) => [set]),
      );
};
const ours = ["chat.example.org", "www.chat.example.org", "_imaps._tcp.chat.example.org"];
const theirs = [zone, "www.example.org", "_sip._tcp.example.org", "xchat.example.org"];
const zoneOf = (names: readonly string[]) => fc.tuple(...names.map(atName)).map((sets) => sets.flat());

const rowsOf = (sets: readonly RecordSet[]): ValueRow[] =>
  sets.flatMap(({ values: all, ...set }) => all.map((value) => ({ ...set, value })));
const texts = (rows: readonly ValueRow[]) =>
  rows.map(({ name, type, value }) => `${name} ${type} ${value}`).sort();
const kept = ({ approximate }: ProviderDescription, sets: readonly RecordSet[]) =>
  sets.map((set) => approximate?.(set) ?? set);
const withoutApex = (rows: readonly ValueRow[]) => rows.filter(({ type }) => type !== "NS" && type !== "SOA");

describe.each(Object.entries(fakes))("any change at %s", (_id, makeFake) => {
  it("ends where it shall, whatever goes wrong on the way, and leaves others alone", async () => {
    const change = fc.record({
      ...{ foreign: zoneOf(theirs), before: zoneOf(ours), after: zoneOf(ours) },
      fault: fc.constantFrom("refused", "lost"),
      end: fc.integer({ min: 1, max: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ foreign, before, after, fault, end }) => {
        const gone = before.filter((set) => !after.some((one) => isSameName(one, set)));
        const sets = [...after, ...gone.map((set) => ({ ...set, values: [] }))];
        const { description } = makeFake(zone, []);
        // What a provider cannot keep did not come there by others either.
        const there = kept(description, [...foreign, ...before]);
        const fake = makeFake(zone, rowsOf(there));
        const others = texts(rowsOf(kept(description, foreign)));
        const connect = (faultOf?: Parameters<typeof runFake>[1]) => {
          const run = runFake(fake, faultOf);
          return { ...run, provider: fake.description.connect(fake.credentials, run) };
        };

        const broken = connect((number) =>
          number < end ? undefined : number === end ? (fault as "lost") : "refused",
        );
        await broken.provider.change(zone, sets).catch((error: unknown) => {
          expect(error).toBeInstanceOf(DnsProviderError);
        });
        expect(texts(fake.rows())).toEqual(expect.arrayContaining(others));

        await connect().provider.change(zone, sets);
        const goal = [...others, ...texts(rowsOf(kept(description, after)))].sort();
        expect(texts(withoutApex(fake.rows()))).toEqual(goal);

        const { provider, requests } = connect();
        await provider.change(zone, sets);
        expect(requests.filter((request) => !fake.isRead(request))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });
});
