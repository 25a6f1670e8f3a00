/**
 * Changes of a zone by RFC 2136 with TSIG (appliance/dns/rfc2136.ts), judged by a real name server. The failures have the
 * names that they have at the providers by HTTP (providers/contract.test.ts); of those, 429 and 5xx cannot come: a name
 * server that has too much to do falls silent or says REFUSED.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zoneValues } from "../../../appliance/dns/one-value.ts";
import { presentation, type RecordSet, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { parseTsigSecret, rfc2136Provider } from "../../../appliance/dns/rfc2136.ts";
import { parseDnsServer } from "../../../appliance/dns/server-address.ts";
import type { TsigKey } from "../../../appliance/dns/tsig.ts";
import { type Knot, missingKnot, startKnot } from "../../support/knot.ts";

const zone = "c.test";
const secrets = { sha256: Buffer.alloc(32, "a"), sha512: Buffer.alloc(64, "b") };
const text = { name: `text.${zone}`, type: "TXT" };
const keys: TsigKey[] = [
  { name: "relay-key", algorithm: "hmac-sha256", secret: secrets.sha256 },
  { name: "other.key", algorithm: "hmac-sha512", secret: secrets.sha512 },
];

const reader: TsigKey = { name: "reader", algorithm: "hmac-sha256", secret: Buffer.alloc(32, "r") };

/** Not as Homing would write them. */
const foreign = [
  `odd.${zone}. 300 TXT "in " "two" " parts"`,
  `odd.${zone}. 300 TXT "\\255\\000 octets"`,
  `odd.${zone}. 300 NAPTR 10 20 "S" "SIP" "" sip.${zone}.`,
  `odd.${zone}. 300 TYPE4711 \\# 3 0a0b0c`,
  `1.odd.${zone}. 300 PTR Host.${zone}.`,
];
/** More than one message of a transfer holds. */
const many = Array.from(
  { length: 1200 },
  (_, index) => `host-${index}.${zone}. 300 TXT "${"x".repeat(100)}"`,
);

describe.skipIf(missingKnot !== undefined)(`a zone on Knot (${missingKnot ?? "here"})`, () => {
  let folder: string;
  let knot: Knot;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-rfc2136-"));
    const textOf = ({ secret, ...key }: TsigKey) => ({
      ...key,
      secret: Buffer.from(secret).toString("base64"),
    });
    const texts = keys.map(textOf);
    knot = await startKnot(
      folder,
      zone,
      [`text.${zone}. 300 TXT "of somebody else"`, ...foreign, ...many],
      texts,
      { readers: [textOf(reader)] },
    );
  });
  afterAll(async () => {
    await knot[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const provider = (key: TsigKey = keys[0]!, more: { zone?: string; now?: () => number } = {}) =>
    rfc2136Provider({ server: { host: "127.0.0.1", port: knot.port }, zone, key, ...more });

  it("403: is told before a change whether the key may make one, and stays as it is", async () => {
    const serial = async () => (await provider().read(zone, [{ name: zone, type: "SOA" }]))[0]?.values;
    const before = await serial();
    expect(await provider().check(zone)).toBe("allowed");
    await provider(reader).read(zone, [text]);
    await expect(provider(reader).check(zone)).rejects.toMatchObject({
      ...{ name: "DnsProviderError", problem: "credentials" },
      message: expect.stringMatching(/the key may see the zone, but not change it$/),
    });
    expect(await serial()).toEqual(before);
  });

  it.each(keys)(
    "409: adds a value with $algorithm twice at once, removes it, and leaves its neighbours",
    async (key) => {
      const record = { name: `text.${zone}`, type: "TXT", ttl: 300, value: `"by ${key.name}"` };
      const values = zoneValues(provider(key), zone);
      await Promise.all([values.add(record), values.add(record)]);
      expect((await knot.lookups.resolveTxt(record.name)).flat().sort()).toEqual([
        `by ${key.name}`,
        "of somebody else",
      ]);
      const [set] = await provider(key).read(zone, [record]);
      expect([...(set?.values ?? [])].sort()).toEqual([record.value, '"of somebody else"']);
      await values.remove({ ...record, ttl: 5 });
      await values.remove(record);
      expect(await knot.lookups.resolveTxt(record.name)).toEqual([["of somebody else"]]);
    },
  );

  it.each([
    { type: "A", address: "192.0.2.7" },
    { type: "AAAA", address: "2001:db8::1:0:0:7" },
    { type: "MX", preference: 10, exchange: "mail.c.test" },
    { type: "TXT", text: `v=DKIM1;${"x".repeat(400)};"quotes" and \\ too` },
    { type: "SRV", priority: 0, weight: 1, port: 993, target: "c.test" },
    { type: "CAA", flags: 0, tag: "issue", value: "letsencrypt.org;accounturi=https://ca.example/1" },
    { type: "CNAME", target: "c.test" },
  ] as const)("keeps and shows a record of type $type", async (data) => {
    const { type } = data;
    const set = { name: `kind-${type.toLowerCase()}.${zone}`, type, ttl: 120, values: [presentation(data)] };
    await provider().change(zone, [set]);
    await provider().change(zone, [set]);
    expect(await provider().read(zone, [set])).toEqual([set]);
    await provider().change(zone, [{ ...set, values: [] }]);
    expect(await provider().read(zone, [set])).toEqual([]);
  });

  it.each<[what: string, key: TsigKey, more: { zone?: string; now?: () => number }, words: RegExp]>([
    ["another secret", { ...keys[0]!, secret: secrets.sha512 }, {}, /BADSIG: .*keys\/dns-update\.key/],
    ["a key that it lacks", { ...keys[0]!, name: "nobody" }, {}, /BADKEY: .*rfc2136_key_name/],
    ["another zone", keys[0]!, { zone: "d.test" }, /(?:REFUSED|NOTAUTH): .*rfc2136_zone/],
    ["a name outside the zone", keys[0]!, {}, /NOTZONE: .*outside/],
    ["a clock that is wrong", keys[0]!, { now: () => Date.now() - 3_600_000 }, /clock/],
  ])("401, 404: says what is wrong with %s", async (what, key, more, words) => {
    const name = what === "a name outside the zone" ? "x.elsewhere.test" : `x.${more.zone ?? zone}`;
    const change: ValueRow = { name, type: "TXT", ttl: 60, value: txtValue("x") };
    const adding = zoneValues(provider(key, more), more.zone ?? zone).add(change);
    await expect(adding).rejects.toThrow(words);
    await expect(adding).rejects.toMatchObject({ name: "DnsProviderError" });
    await expect(adding).rejects.not.toThrow(Buffer.from(key.secret).toString("base64"));
  });

  it("pages: shows the whole zone, in as many messages as it takes", async () => {
    const sets = await provider().read(zone);
    const of = (name: string) => sets.filter((set) => set.name === name);
    expect(sets.filter(({ name }) => name.startsWith("host-"))).toHaveLength(many.length);
    expect(
      of(zone)
        .map(({ type }) => type)
        .sort(),
    ).toEqual(["NS", "SOA"]);
    expect(of(zone).find(({ type }) => type === "SOA")?.values[0]).toMatch(
      /^ns\.c\.test\. nobody\.c\.test\. \d+ 60 60 600 1$/,
    );
    expect(of(`odd.${zone}`).map(({ type, values }) => [type, [...values].sort()])).toEqual(
      expect.arrayContaining([
        ["TXT", ['"\\255\\000 octets"', '"in two parts"']],
        ["NAPTR", [expect.stringMatching(/^\\# \d+ [0-9a-f]+$/)]],
        ["TYPE4711", ["\\# 3 0a0b0c"]],
      ]),
    );
    expect(of(`1.odd.${zone}`)).toMatchObject([{ type: "PTR", values: [`host.${zone}.`] }]);
  });

  it("adds beside texts that Homing would write otherwise, and keeps them to the octet", async () => {
    const name = `odd.${zone}`;
    const change = { name, type: "TXT", ttl: 120, value: '"ours"' };
    await zoneValues(provider(), zone).add(change);
    expect(((await knot.lookups.resolveTxt(name)) as string[][]).map((parts) => parts.length).sort()).toEqual(
      [1, 1, 3],
    );
    await zoneValues(provider(), zone).remove(change);
    const [unknown] = await provider().read(zone, [{ name, type: "TYPE4711" }]);
    await provider().change(zone, [
      { ...unknown!, name: `copy.${zone}` },
      { ...unknown!, values: [] },
    ]);
    expect(await provider().read(zone, [{ name, type: "TYPE4711" }])).toEqual([]);
    expect((await provider().read(zone, [{ name: `copy.${zone}`, type: "TYPE4711" }]))[0]?.values).toEqual(
      unknown?.values,
    );
  });

  it("half-written: is never seen, for an alias takes an address's place and back in one go", async () => {
    const name = `alias.${zone}`;
    const address = { name, type: "A", ttl: 60, values: ["192.0.2.1", "192.0.2.2"] };
    const alias = { name, type: "CNAME", ttl: 60, values: [`ns.${zone}.`] };
    const none = (set: RecordSet) => ({ ...set, values: [] });
    await provider().change(zone, [address]);
    await provider().change(zone, [alias, none(address)]);
    expect(await provider().read(zone, [address, alias])).toEqual([alias]);
    await provider().change(zone, [none(alias), address]);
    expect(await provider().read(zone, [address, alias])).toEqual([address]);
    await provider().change(zone, [none(address)]);
  });

  it("believes nobody who answers in the server's place", async () => {
    // Passes everything on but for one bit, or leaves the signature away.
    for (const spoil of ["bit", "signature"]) {
      await using liar = await startLiar(knot.port, spoil === "bit");
      const there = rfc2136Provider({ server: { host: "127.0.0.1", port: liar.port }, zone, key: keys[0]! });
      await expect(there.read(zone, [text])).rejects.toThrow(/somebody else may answer|does not speak DNS/);
    }
  });

  it("time-out: gives up on who does not answer", async () => {
    const closed = rfc2136Provider({ server: { host: "127.0.0.1", port: 1 }, zone, key: keys[0]! });
    await expect(closed.read(zone, [text])).rejects.toThrow(
      /port 1, does not answer over TCP: .*ECONNREFUSED/,
    );
  });
});

/** Between client and server: flips a bit of the answer's text, or cuts its last record off. */
async function startLiar(port: number, flips: boolean): Promise<AsyncDisposable & { port: number }> {
  const { connect } = await import("node:net");
  const server = createServer((client) => {
    const up = connect(port, "127.0.0.1");
    client.pipe(up);
    client.on("error", () => up.destroy());
    up.on("error", () => client.destroy());
    up.on("data", (chunk) => {
      const answer = Buffer.from(chunk);
      if (flips) answer[answer.indexOf("of somebody")]! ^= 1;
      else answer.writeUInt16BE(0, 2 + 10);
      client.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

describe("the secret of a key", () => {
  it.each([
    ["YWJj", "abc"],
    ["YWJj\n", "abc"],
    ["YWI=", "ab"],
    ["YWI", "ab"],
  ])("is read from %j", (text, secret) => {
    expect(Buffer.from(parseTsigSecret(text)!).toString()).toBe(secret);
  });

  it.each(["", "\n", "YWJj YWJj", "key: YWJj", "ä"])("is not taken from %j", (text) => {
    expect(parseTsigSecret(text)).toBeUndefined();
  });
});

describe("the address of a name server", () => {
  it.each([
    ["ns.example.org", "ns.example.org", 53],
    ["ns.example.org:5353", "ns.example.org", 5353],
    ["192.0.2.1", "192.0.2.1", 53],
    ["192.0.2.1:54", "192.0.2.1", 54],
    ["2001:db8::1", "2001:db8::1", 53],
    ["[2001:db8::1]:54", "2001:db8::1", 54],
  ])("is read from %s", (text, host, port) => {
    expect(parseDnsServer(text)).toEqual({ host, port });
  });

  // The last would take a pattern with two ways to read it longer than anybody waits.
  const wrong = [
    "",
    "a b",
    "https://x",
    "x:0",
    "x:99999",
    "[x]:53",
    "[2001:db8::1",
    "-x.test",
    `${"a".repeat(60)}/`,
  ];
  it.each(wrong)("is not %j", (text) => {
    expect(parseDnsServer(text)).toBeUndefined();
  });
});
