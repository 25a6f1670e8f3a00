/**
 * The stand-ins and the providers against recorded answers of the real interfaces, where there are some: what a stand-in
 * answers must have the form of what was recorded, and a provider must understand what was recorded.
 */
import { describe, expect, it } from "vitest";
import { canonicalValue, type RecordSet, type ValueRow } from "../../../../appliance/dns/record-set.ts";
import { type FakeAnswer, type FakeRequest, runFake } from "../../../support/dns-providers/fake-provider.ts";
import { fakes } from "../../../support/dns-providers/fakes.ts";
import {
  differences,
  type Interaction,
  keyOf,
  keyOfInteraction,
  keyOfRequest,
  missingZone,
  readRecordings,
  recordedZone as zone,
} from "../../../support/dns-providers/recordings.ts";

/** Recorded below another base than today's. */
const formerBase: Readonly<Record<string, string>> = { namecom: "/v4", inwx: "/xmlrpc" };
/** Told by clients of today to be otherwise now. */
const otherwiseNow: Readonly<Record<string, RegExp>> = { njalla: /\.id is no string/ };
const recordings = readRecordings();

describe("the comparison with recordings", () => {
  const recorded = [{ status: 200, body: { records: [{ id: "1", prio: null }], total: 1 } }];
  it.each<[answer: unknown, wrong: string[]]>([
    [{ records: [{ id: "7", prio: "10" }] }, []],
    [{ records: [{ id: 7 }] }, [".records[].id is no number"]],
    [{ records: [], next: 1 }, [".next is in none"]],
  ])("of %j finds %j", (body, wrong) => {
    expect(differences({ status: 200, body }, recorded)).toEqual(wrong);
  });

  it("takes requests for the same that differ in names and ids", () => {
    expect(keyOf("GET", `/zones/${zone}/rrsets/www/A`, undefined)).toBe("GET zones/#/rrsets/SET");
    expect(keyOf("GET", "/zones/100001/rrsets//?type=A", undefined)).toBe("GET zones/#/rrsets");
    expect(keyOf("POST", "/api/1/", { method: "list-records", params: { domain: missingZone } })).toBe(
      "POST api/# list-records missing",
    );
  });
});

describe.each(recordings.map((recording) => [recording.provider, recording] as const))(
  "%s",
  (id, recording) => {
    /** Only types that were recorded: no recording has SRV or CAA. */
    const rows: ValueRow[] = [
      { name: `old.${zone}`, type: "TXT", ttl: 3600, value: '"gone"' },
      { name: `www.${zone}`, type: "A", ttl: 3600, value: "192.0.2.1" },
    ];
    const sets: RecordSet[] = [
      { name: `new.${zone}`, type: "A", ttl: 3600, values: ["192.0.2.2"] },
      { name: `docs.${zone}`, type: "CNAME", ttl: 3600, values: ["docs.example.com."] },
      { name: `www.${zone}`, type: "A", ttl: 3600, values: ["192.0.2.3"] },
      { name: `old.${zone}`, type: "TXT", ttl: 3600, values: [] },
    ];
    const fake = fakes[id]!(zone, rows);
    const basePath = formerBase[id] ?? new URL(fake.baseUrl).pathname.replace(/\/$/, "");
    const byKey = Map.groupBy(recording.interactions.filter(isWhole), (one) =>
      keyOfInteraction(one, basePath),
    );

    it("answers in the stand-in as it was recorded", async () => {
      const pairs: [request: FakeRequest, answer: FakeAnswer][] = [];
      const watched = {
        ...fake,
        answer: (request: FakeRequest) => {
          const answer = fake.answer(request);
          pairs.push([request, answer]);
          return answer;
        },
      };
      const { fetch, clock } = runFake(watched);
      const provider = fake.description.connect(fake.credentials, { fetch, clock });
      await provider.zones();
      await provider.read(zone);
      await provider.change(zone, sets);
      await provider.check(missingZone).catch(() => undefined);
      const compared = pairs.flatMap(([request, answer]) => {
        const same = byKey.get(keyOfRequest(request));
        if (same === undefined) return [];
        const wrong = differences(
          answer,
          same.map(({ response }) => response),
        ).filter((line) => otherwiseNow[id]?.test(line) !== true);
        return [`${keyOfRequest(request)}: ${wrong.join(", ") || "as recorded"}`];
      });
      expect([...new Set(compared)].filter((line) => !line.endsWith("as recorded"))).toEqual([]);
      expect(new Set(compared).size).toBeGreaterThanOrEqual(2);
    });

    it("understands what was recorded", async () => {
      let used = 0;
      const recorded = {
        baseUrl: fake.baseUrl,
        answer: (request: FakeRequest): FakeAnswer => {
          const found = recordedFor(byKey.get(keyOfRequest(request)) ?? [], request);
          // What comes before the list, as whose token it is, was not always recorded.
          if (found === undefined) return fake.answer(request);
          used++;
          const { status, headers = {}, body } = found.response;
          return { status, headers, body: body === null ? "null" : body };
        },
      };
      const { fetch, clock } = runFake(recorded);
      const provider = fake.description.connect(fake.credentials, { fetch, clock });
      const found = await provider.read(zone);
      expect(used).toBeGreaterThan(0);
      expect(found.length).toBeGreaterThan(0);
      for (const { name, type, values } of found) {
        expect(`.${name}`).toContain(`.${zone}`);
        for (const value of values) if (type !== "SOA") expect(canonicalValue(type, value)).toBe(value);
      }
    });
  },
);

/** Bodies with keys in them were replaced by nothing when they were recorded. */
function isWhole({ request: { method }, response: { body } }: Interaction): boolean {
  return method !== "GET" || JSON.stringify(body) !== "{}";
}

/** The answer to a whole list, and of several pages the one that is asked for. */
function recordedFor(all: readonly Interaction[], request: FakeRequest): Interaction | undefined {
  const page = request.query.get("page") ?? "1";
  const isPage = ({ request: { path } }: Interaction) =>
    (new URLSearchParams(path.split("?")[1]).get("page") ?? "1") === page;
  const isList = ({ cassette }: Interaction) => cassette.includes("no_arguments");
  const good = all.filter(({ response }) => response.status < 300);
  return good.find((one) => isList(one) && isPage(one)) ?? good.find(isPage) ?? good[0];
}
