/**
 * Two programs that change the same records at once, at every provider (over its stand-in): the second one meets records
 * that are there already, or gone. It may fail, in words, but leaves nothing that the next time does not mend.
 */
import { describe, expect, it } from "vitest";
import { DnsProviderError } from "../../../../appliance/dns/provider.ts";
import type { RecordSet, ValueRow } from "../../../../appliance/dns/record-set.ts";
import { runFake } from "../../../support/dns-providers/fake-provider.ts";
import { fakes } from "../../../support/dns-providers/fakes.ts";

const zone = "example.org";
const domain = `chat.${zone}`;
const row = (name: string, type: string, value: string): ValueRow => ({ name, type, ttl: 3600, value });
const set = (name: string, type: string, ...values: string[]): RecordSet => ({
  name,
  type,
  ttl: 3600,
  values,
});

const foreign = [row(zone, "A", "198.51.100.1"), row(zone, "TXT", '"v=spf1 mx -all"')];
const before = [
  row(domain, "A", "192.0.2.1"),
  row(domain, "TXT", '"gone"'),
  row(`www.${domain}`, "A", "192.0.2.1"),
];
const after = [
  set(domain, "A", "192.0.2.2"),
  set(domain, "MX", `10 ${domain}.`),
  set(domain, "TXT"),
  set(`www.${domain}`, "A"),
  set(`www.${domain}`, "CNAME", `${domain}.`),
];
const goal = [
  row(domain, "A", "192.0.2.2"),
  row(domain, "MX", `10 ${domain}.`),
  row(`www.${domain}`, "CNAME", `${domain}.`),
];
const texts = (rows: readonly ValueRow[]) =>
  rows
    .filter(({ type }) => type !== "NS" && type !== "SOA")
    .map(({ name, type, value }) => `${name} ${type} ${value}`)
    .sort();

describe.each(Object.entries(fakes))("two at once at %s", (_id, makeFake) => {
  it("end where both want to be, at whichever request the other one comes", async () => {
    for (let at = 1; ; at++) {
      const fake = makeFake(zone, [...foreign, ...before]);
      const connect = () => fake.description.connect(fake.credentials, runFake(fake));
      const run = runFake(fake);
      let other: Promise<void> | undefined;
      const fetch: typeof run.fetch = async (input, init) => {
        if (run.requests.length + 1 === at) {
          other = connect().change(zone, after);
          await other;
        }
        return await run.fetch(input, init);
      };
      const one = fake.description.connect(fake.credentials, { fetch, clock: run.clock });
      await one.change(zone, after).catch((error: unknown) => {
        expect(error).toBeInstanceOf(DnsProviderError);
        expect((error as DnsProviderError).problem).toMatch(/refused|missing/);
      });
      if (other === undefined) return expect(at).toBeGreaterThan(2);
      expect(texts(fake.rows())).toEqual(expect.arrayContaining(texts(foreign)));
      await connect().change(zone, after);
      expect(texts(fake.rows()), `at request ${at}`).toEqual(texts([...foreign, ...goal]));
    }
  });
});
