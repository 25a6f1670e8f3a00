/** Changes of others at netcup (appliance/dns/providers/netcup.ts), whose zone is sent back whole, over its stand-in. */
import { expect, it } from "vitest";
import type { ValueRow } from "../../../../appliance/dns/record-set.ts";
import { runFake } from "../../../support/dns-providers/fake-provider.ts";
import { fakeNetcup } from "../../../support/dns-providers/netcup.ts";

const zone = "example.org";
const row = (name: string, type: string, value: string): ValueRow => ({ name, type, ttl: 86_400, value });
const set = (name: string, type: string, ...values: string[]) => ({ name, type, ttl: 3600, values });
const action = ({ body }: { body: unknown }) => (body as { action: string }).action;

it("a change of somebody else between list and change stops ours, in words, and is not taken back", async () => {
  const fake = fakeNetcup(zone, [row(`blog.${zone}`, "A", "192.0.2.1")]);
  const connect = () => fake.description.connect(fake.credentials, runFake(fake));
  const run = runFake(fake);
  let lists = 0;
  const fetch: typeof run.fetch = async (input, init) => {
    const answer = await run.fetch(input, init);
    const isList = action(run.requests.at(-1)!) === "infoDnsRecords";
    if (isList && ++lists === 1) await connect().change(zone, [set(`blog.${zone}`, "A", "192.0.2.2")]);
    return answer;
  };
  const provider = fake.description.connect(fake.credentials, { fetch, clock: run.clock });
  const ours = set(`chat.${zone}`, "A", "192.0.2.9");
  await expect(provider.change(zone, [ours])).rejects.toThrow(
    /netcup was not asked to change the records of example\.org, for somebody else changed them.*start again/,
  );
  expect(run.requests.map(action)).not.toContain("updateDnsRecords");
  const values = () => fake.rows().map(({ value }) => value);
  expect(values()).toEqual(["192.0.2.2"]);
  await provider.change(zone, [ours]);
  expect(values()).toEqual(["192.0.2.2", "192.0.2.9"]);
});
