/**
 * What every provider in appliance/dns/providers/ promises, over a stand-in of each: that record sets become what they
 * shall be, however often a request fails on the way, that nobody else's records change, and that errors say what is wrong
 * without the token. The failures (401 to pages) have the same names everywhere; where one cannot come, its name says why.
 * RFC 2136 has no HTTP: rfc2136.test.ts has its own kinds of them, by a real name server.
 */
import { describe, expect, it } from "vitest";
import type { ConnectOptions, DnsProvider, DnsProviderError } from "../../../../appliance/dns/provider.ts";
import {
  groupValues,
  isSameName,
  type RecordSet,
  recordSets,
  type ValueRow,
} from "../../../../appliance/dns/record-set.ts";
import { relayRecords } from "../../../../appliance/dns/records.ts";
import {
  type FakeProvider,
  type FakeRequest,
  type Fault,
  runFake,
  serveFake,
} from "../../../support/dns-providers/fake-provider.ts";
import { fakes } from "../../../support/dns-providers/fakes.ts";

const zone = "example.org";
const domain = `chat.${zone}`;
/** As long as the one of RSA with 2048 bits. */
const publicKey = "MIIBIjANBgkqhkiG9w0B+/".padEnd(392, "aB3/+");

/** The record sets of a relay, with the CAA as it is written once there is an account. */
const relay = recordSets(
  relayRecords({
    ...{ domain, dkim: [{ selector: "opendkim", publicKey }], addresses: ["192.0.2.1", "2001:db8::1"] },
    authority: "letsencrypt.org;accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1234567",
  }),
);

/** Of others: in the same zone, at the relay's own name, and with the relay's own types. */
const foreign: ValueRow[] = [
  { name: zone, type: "A", ttl: 3600, value: "198.51.100.1" },
  { name: zone, type: "A", ttl: 3600, value: "198.51.100.2" },
  { name: zone, type: "MX", ttl: 3600, value: "10 mail.example.org." },
  { name: zone, type: "TXT", ttl: 3600, value: '"v=spf1 mx -all"' },
  { name: zone, type: "TXT", ttl: 3600, value: '"site-verification=abc"' },
  { name: `www.${zone}`, type: "CNAME", ttl: 3600, value: "example.org." },
  { name: `_sip._tcp.${zone}`, type: "SRV", ttl: 3600, value: "10 20 5060 sip.example.net." },
  { name: `xchat.${zone}`, type: "A", ttl: 3600, value: "198.51.100.3" },
  { name: `www.${domain}.${zone}`, type: "A", ttl: 3600, value: "198.51.100.4" },
];

const secretsOf = (fake: FakeProvider) =>
  fake.description.credentials.filter(({ secret }) => secret).map(({ key }) => key);

function connect(fake: FakeProvider, faultOf?: Parameters<typeof runFake>[1], more: ConnectOptions = {}) {
  const run = runFake(fake, faultOf);
  const { fetch, clock } = run;
  return { ...run, provider: fake.description.connect(fake.credentials, { fetch, clock, ...more }) };
}

/** The zone's sets as text, without TTLs and in one order. */
function texts(rows: readonly ValueRow[]): string[] {
  return rows.map(({ name, type, value }) => `${name} ${type} ${value}`).sort();
}
const rowsOf = (sets: readonly RecordSet[]): ValueRow[] =>
  sets.flatMap(({ name, type, ttl, values }) => values.map((value) => ({ name, type, ttl, value })));
/** What the provider shows of itself in every zone. */
const withoutApex = (rows: readonly ValueRow[]) =>
  rows.filter(({ name, type }) => name !== zone || !["NS", "SOA"].includes(type));
/** As the provider writes what it was given: it may know no better than to approximate it, if it says so. */
const kept = (fake: FakeProvider, sets: readonly RecordSet[]) =>
  sets.map((set) => fake.description.approximate?.(set) ?? set);

/** Where a record that is there already is nothing to complain of. */
const withoutConflicts: Readonly<Record<string, string>> = {
  desec: "all sets are replaced by one request",
  gandi: "a PUT makes a set or takes its place",
  inwx: "its code 2302 is taken for done",
};

/**
 * Makes one change while somebody else makes the other right before its first write, and once more. Gives the problem of
 * the first try, if it had any.
 */
async function meanwhile(
  fake: FakeProvider,
  mine: readonly RecordSet[],
  others: readonly RecordSet[],
  problems: RegExp,
): Promise<string | undefined> {
  const run = runFake(fake);
  let isDone = false;
  const other = connect(fake).provider;
  const fetch: typeof run.fetch = async (input, init) => {
    const { method = "GET", body } = init ?? {};
    const parsed = typeof body === "string" && body !== "" ? (JSON.parse(body) as unknown) : undefined;
    const path = new URL(String(input)).pathname.slice(
      new URL(fake.baseUrl).pathname.replace(/\/$/, "").length,
    );
    const asks = fake.isRead({ method, path, body: parsed } as FakeRequest);
    if (!asks && !isDone) {
      isDone = true;
      await other.change(zone, others);
    }
    return await run.fetch(input, init);
  };
  const one = fake.description.connect(fake.credentials, { fetch, clock: run.clock });
  const problem = await one.change(zone, mine).then(
    () => undefined,
    (error: DnsProviderError) => error.problem,
  );
  expect(isDone).toBe(true);
  if (problem !== undefined) expect(problem).toMatch(problems);
  await one.change(zone, mine);
  return problem;
}

async function errorOf(promise: Promise<unknown>): Promise<DnsProviderError> {
  const error = await promise.then(
    () => new Error("it went well"),
    (caught: unknown) => caught,
  );
  expect(error).toMatchObject({ name: "DnsProviderError" });
  return error as DnsProviderError;
}

describe.each(Object.entries(fakes))("%s", (id, makeFake) => {
  const start = (rows: readonly ValueRow[] = foreign) => makeFake(zone, rows);

  it("shows its zones and all their records, and finds nothing wrong", async () => {
    const fake = start();
    const { provider } = connect(fake);
    await provider.check(zone);
    expect(await provider.zones()).toContain(zone);
    const sets = await provider.read(zone);
    expect(texts(withoutApex(rowsOf(sets)))).toEqual(
      texts(kept(fake, groupValues(foreign)).flatMap((set) => rowsOf([set]))),
    );
    expect(texts(withoutApex(fake.rows()))).toEqual(texts(withoutApex(rowsOf(sets))));
    const wanted = [
      { name: zone, type: "MX" },
      { name: `nobody.${zone}`, type: "A" },
    ];
    expect((await provider.read(zone, wanted)).map(({ type }) => type)).toEqual(["MX"]);
  });

  it("keeps the record sets of a relay, and what was there", async () => {
    const fake = start();
    const { provider } = connect(fake);
    await provider.change(zone, relay);
    const wanted = texts(rowsOf(kept(fake, relay)));
    expect(texts(rowsOf(await provider.read(zone, relay)))).toEqual(wanted);
    expect(texts(withoutApex(fake.rows()))).toEqual(
      texts([...rowsOf(kept(fake, relay)), ...rowsOf(kept(fake, groupValues(foreign)))]),
    );
    const { minTtl } = fake.description;
    for (const { ttl } of fake.rows()) expect(ttl).toBeGreaterThanOrEqual(minTtl);
  });

  it("changes nothing the second time", async () => {
    const fake = start();
    await connect(fake).provider.change(zone, relay);
    const { provider, requests } = connect(fake);
    await provider.change(zone, relay);
    await provider.change(zone, [{ name: `nobody.${zone}`, type: "TXT", ttl: 3600, values: [] }]);
    expect(requests.filter((request) => !fake.isRead(request))).toEqual([]);
  });

  const before: RecordSet[] = [
    { name: domain, type: "A", ttl: 3600, values: ["192.0.2.1", "192.0.2.2"] },
    { name: domain, type: "TXT", ttl: 3600, values: ['"v=spf1 a ~all"', '"of somebody else"'] },
    { name: `www.${domain}`, type: "A", ttl: 3600, values: ["192.0.2.1"] },
    { name: `mta-sts.${domain}`, type: "CNAME", ttl: 3600, values: ["elsewhere.example."] },
    { name: `old.${domain}`, type: "CNAME", ttl: 3600, values: [`${domain}.`] },
    { name: `_acme-challenge.${domain}`, type: "TXT", ttl: 3600, values: ['"gone"'] },
  ];
  const after: RecordSet[] = [
    { name: domain, type: "A", ttl: 3600, values: ["192.0.2.2", "192.0.2.3"] },
    { name: domain, type: "AAAA", ttl: 3600, values: ["2001:db8::1"] },
    { name: domain, type: "TXT", ttl: 3600, values: ['"of somebody else"'] },
    { name: `www.${domain}`, type: "A", ttl: 3600, values: [] },
    { name: `www.${domain}`, type: "CNAME", ttl: 3600, values: [`${domain}.`] },
    { name: `mta-sts.${domain}`, type: "CNAME", ttl: 3600, values: [`${domain}.`] },
    { name: `old.${domain}`, type: "CNAME", ttl: 3600, values: [] },
    { name: `old.${domain}`, type: "A", ttl: 3600, values: ["192.0.2.3"] },
    { name: `_acme-challenge.${domain}`, type: "TXT", ttl: 3600, values: [] },
  ];
  const started = () => start([...foreign, ...rowsOf(before)]);
  const goal = (fake: FakeProvider) =>
    texts([...rowsOf(kept(fake, after)), ...rowsOf(kept(fake, groupValues(foreign)))]);

  it("makes each set be exactly what it shall be, also an alias of an address and back", async () => {
    const fake = started();
    const { provider } = connect(fake);
    await provider.change(zone, after);
    expect(texts(withoutApex(fake.rows()))).toEqual(goal(fake));
    await provider.change(zone, [
      ...before,
      ...after
        .filter((set) => !before.some((one) => isSameName(one, set)))
        .map((set) => ({ ...set, values: [] })),
    ]);
    expect(texts(withoutApex(fake.rows()))).toEqual(
      texts(rowsOf(kept(fake, groupValues([...foreign, ...rowsOf(before)])))),
    );
  });

  it("half-written: gets there the second time, at whichever request the first one ended", async () => {
    const whole = started();
    const { provider, requests } = connect(whole);
    await provider.change(zone, after);
    for (const fault of ["refused", "lost"] as const) {
      for (let end = 1; end <= requests.length; end++) {
        // To lose the answer to a question is to have asked nothing.
        if (fault === "lost" && whole.isRead(requests[end - 1]!) && requests[end - 1]!.method === "GET")
          continue;
        const fake = started();
        const first = connect(
          fake,
          (number): Fault => (number < end ? undefined : number === end ? fault : "refused"),
        );
        const error = await errorOf(first.provider.change(zone, after));
        expect(error.problem).toBe("unreachable");
        const now = texts(fake.rows());
        // At no time is anything of others gone.
        expect(now).toEqual(expect.arrayContaining(texts(rowsOf(kept(fake, groupValues(foreign))))));
        await connect(fake).provider.change(zone, after);
        expect(texts(withoutApex(fake.rows())), `${fault} at request ${end}`).toEqual(goal(fake));
      }
    }
  });

  it("429: waits when it is told to, and says so when that is too long", async () => {
    const fake = started();
    const { busy } = fake.failures;
    const slow = { ...busy, headers: { ...busy.headers, "retry-after": "5" } };
    const patient = connect(fake, (number) => (number % 4 === 1 ? slow : undefined));
    await patient.provider.change(zone, after);
    expect(patient.waits.filter((wait) => wait === 5000).length).toBeGreaterThan(0);
    expect(texts(withoutApex(fake.rows()))).toEqual(goal(fake));
    const never = { ...busy, headers: { ...busy.headers, "retry-after": "86400" } };
    const error = await errorOf(connect(started(), () => never).provider.read(zone));
    expect(error).toMatchObject({ problem: "busy", message: expect.stringContaining("24 hours") });
  });

  const problems: [what: string, (fake: FakeProvider) => { provider: DnsProvider; problem: string }][] = [
    ["401, wrong credentials", (fake) => ({ provider: connectWrong(fake), problem: "credentials" })],
    [
      "403, a change that it does not allow",
      (fake) => ({
        provider: connect(fake, (_, request) => (fake.isRead(request) ? undefined : fake.failures.forbidden))
          .provider,
        problem: "credentials",
      }),
    ],
    [
      "5xx, a provider that is broken",
      (fake) => ({ provider: connect(fake, () => fake.failures.broken).provider, problem: "unreachable" }),
    ],
    [
      "somebody else's page",
      (fake) => ({
        provider: connect(fake, () => ({ status: 200, body: "<html>Welcome" })).provider,
        problem: "unreachable",
      }),
    ],
    [
      "an empty answer",
      (fake) => ({
        provider: connect(fake, () => ({ status: 200, body: {} })).provider,
        problem: "unreachable",
      }),
    ],
  ];
  it.each(problems)("says in words what is wrong with %s", async (_what, make) => {
    const fake = start();
    const { provider, problem } = make(fake);
    const rows = texts(fake.rows());
    const error = await errorOf(provider.change(zone, relay));
    expect(error.problem, error.message).toBe(problem);
    expect(error.message).toMatch(/\w+ did not \w+.*: .{8}/);
    for (const key of secretsOf(fake)) {
      expect(error.message + error.stack).not.toContain(fake.credentials[key]);
      expect(error.message + error.stack).not.toContain(fake.wrongCredentials[key]);
    }
    expect(texts(fake.rows())).toEqual(rows);
  });

  it("never repeats a secret that stands in the provider's own words", async () => {
    const fake = start();
    const secrets = secretsOf(fake).map((key) => fake.credentials[key]!);
    const { forbidden } = fake.failures;
    // Only in sentences: codes are compared.
    const telling = JSON.parse(JSON.stringify(forbidden), (_key, value) =>
      typeof value === "string" && value.includes(" ") ? `${value} ${secrets.join(" ")}` : value,
    );
    const { provider } = connect(fake, (_, request) => (fake.isRead(request) ? undefined : telling));
    const error = await errorOf(provider.change(zone, relay));
    expect(error.message).toContain("***");
    for (const secret of secrets) expect(error.message + error.stack).not.toContain(secret);
  });

  it("raises TTLs that are too short, and changes TTLs alone", async () => {
    const fake = start();
    const { provider } = connect(fake);
    const { minTtl, id: provided } = fake.description;
    const set = { name: `short.${zone}`, type: "TXT", ttl: 1, values: ['"a"', '"b"'] };
    const ttls = () => fake.rows().flatMap(({ name, ttl }) => (name === set.name ? [ttl] : []));
    await provider.change(zone, [set]);
    expect(Math.min(...ttls())).toBeGreaterThanOrEqual(minTtl);
    await provider.change(zone, [{ ...set, ttl: 86_400 }]);
    // Of all providers one has a TTL for the whole zone, some only a few to choose from; this one all have.
    if (provided !== "netcup") expect(ttls()).toEqual([86_400, 86_400]);
    expect(ttls()).toHaveLength(2);
  });

  const connectWrong = (fake: FakeProvider) => {
    const { fetch, clock } = runFake(fake);
    return fake.description.connect(fake.wrongCredentials, { fetch, clock });
  };
  it("401, 404: finds wrong credentials, and a zone that is not there, before anything changes", async () => {
    const fake = start();
    expect(await errorOf(connectWrong(fake).check(zone))).toMatchObject({ problem: "credentials" });
    const { provider } = connect(fake);
    expect(await errorOf(provider.check("nobody.example"))).toMatchObject({
      problem: expect.stringMatching(/missing|credentials/),
      message: expect.stringContaining("nobody.example"),
    });
  });

  it("time-out: waits no longer than its limit for an answer", async () => {
    const fake = start();
    const hanging: typeof fetch = (_input, init) =>
      new Promise((_resolve, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    const { provider } = connect(fake, undefined, { fetch: hanging, timeoutMs: 10 });
    expect(await errorOf(provider.read(zone))).toMatchObject({
      problem: "unreachable",
      message: expect.stringContaining("no answer within 0.01 seconds"),
    });
  });

  it("404: takes a record that went away meanwhile for gone, or says so, and gets there the next time", async () => {
    const fake = start([...foreign, ...rowsOf([before[5]!])]);
    const gone = [{ ...before[5]!, values: [] }];
    await meanwhile(fake, gone, gone, /missing|refused/);
    expect(texts(withoutApex(fake.rows()))).toEqual(texts(rowsOf(kept(fake, groupValues(foreign)))));
  });

  const conflictless = withoutConflicts[id];
  it(`409: ${conflictless === undefined ? "says that a record is there already, and gets there the next time" : `cannot come, for ${conflictless}`}`, async () => {
    const fake = start();
    const set = { name: `both.${zone}`, type: "A", ttl: 3600, values: ["192.0.2.7"] };
    const problem = await meanwhile(fake, [set], [set], /refused/);
    expect(problem).toBe(conflictless === undefined ? "refused" : undefined);
    expect(texts(fake.rows()).filter((text) => text.startsWith(set.name))).toEqual([
      `${set.name} A 192.0.2.7`,
    ]);
  });

  it("does the same over a real connection", async () => {
    const fake = start();
    await using server = await serveFake(fake);
    const { clock } = runFake(fake);
    const provider = fake.description.connect(fake.credentials, { baseUrl: server.baseUrl, clock });
    const set = { name: `new.${zone}`, type: "A", ttl: 3600, values: ["192.0.2.9"] };
    await provider.change(zone, [set]);
    expect(texts(rowsOf(await provider.read(zone, [set])))).toEqual([`new.${zone} A 192.0.2.9`]);
  });

  it("pages: shows zones of 620 records whole", async () => {
    const many = Array.from({ length: 620 }, (_, index): ValueRow => {
      return { name: `host-${index}.${zone}`, type: "A", ttl: 3600, value: `198.51.100.${index % 250}` };
    });
    const fake = start(many);
    const { provider } = connect(fake);
    expect(texts(withoutApex(rowsOf(await provider.read(zone))))).toEqual(texts(many));
  });
});
