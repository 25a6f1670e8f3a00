/** What clients are told beside mail: which texts pass, and why the others do not. */
import { describe, expect, it } from "vitest";
import { parseRelayConfig, renderRelayToml } from "../../appliance/relay-config.ts";

const read = (lines: string) =>
  parseRelayConfig(`domain = "chat.example.org"\n[clients]\n${lines}\n`, "relay.toml").clients;

const source = {
  sourceId: "gplay",
  versionInteger: 754,
  versionString: "2.57.0",
  downloadUrl: "https://github.com/deltachat/deltachat-android/releases/x.apk",
};
const versions = { clients: [{ clientId: "deltachat", sources: [source] }] };
const withSource = (change: object) => ({
  clients: [{ clientId: "deltachat", sources: [{ ...source, ...change }] }],
});

describe("clients.iroh_relay_url", () => {
  it.each(["", "https://iroh.example.org", "https://iroh.example.org/", "https://iroh.example.org:8443"])(
    "takes “%s” as it is",
    (url) => expect(read(`iroh_relay_url = "${url}"`).irohRelayUrl).toBe(url),
  );

  it.each([
    "http://iroh.example.org/",
    "https://a:b@iroh.example.org/",
    "https://iroh.example.org/relay",
    "https://iroh.example.org/?a",
    "https://iroh.example.org/#a",
    "https://Iröh.example.org/",
    " https://iroh.example.org/",
    "iroh.example.org",
    `https://${"a".repeat(600)}/`,
  ])("refuses “%s”", (url) => {
    expect(() => read(`iroh_relay_url = "${url}"`)).toThrow(
      /line 3, clients\.iroh_relay_url: found the text .*; allowed: a link like “https:\/\/iroh\.example\.org”/,
    );
  });
});

describe("clients.app_versions", () => {
  const given = (json: unknown) => read(`app_versions = '''\n${JSON.stringify(json, undefined, 2)}\n'''`);

  it("becomes one line, and stays the same when the settings are written again", () => {
    const { appVersions } = given(versions);
    expect(appVersions).toBe(JSON.stringify(versions));
    const again = renderRelayToml("a.example", { clients: { appVersions } });
    expect(parseRelayConfig(again, "relay.toml").clients.appVersions).toBe(appVersions);
  });

  it.each<[string, unknown, RegExp]>([
    ["another shape", [], /it has “clients” and nothing else/],
    ["a misspelt key", { clients: [{ clientID: "deltachat", sources: [] }] }, /at clients\.0/],
    ["a name that is none", { clients: [{ clientId: "", sources: [] }] }, /clientId is a text/],
    ["a number in quotes", withSource({ versionInteger: "754" }), /versionInteger is a whole number/],
    ["a number beyond 32 bits", withSource({ versionInteger: 2 ** 32 }), /sources\.0\.versionInteger: /],
    [
      "a version that the core would cut",
      withSource({ versionString: "2.57.0 <br> and more" }),
      /of 1 to 16/,
    ],
    ["a link without TLS", withSource({ downloadUrl: "http://example.org/x" }), /downloadUrl is a link/],
    ["two of one name", { clients: [...versions.clients, ...versions.clients] }, /same clientId/],
  ])("refuses %s", (_what, json, words) => {
    expect(() => given(json)).toThrow(words);
    expect(() => given(json)).toThrow(/clients\.app_versions: .*docs\/running\.md/);
  });

  it("refuses what is no JSON, and more than every phone should fetch", () => {
    expect(() => read('app_versions = "2.57.0"')).toThrow(/it is no JSON/);
    const many = Array.from({ length: 60 }, (_, index) => ({ ...source, sourceId: `s${index}` }));
    expect(() => given({ clients: [{ clientId: "deltachat", sources: many }] })).toThrow(
      /allowed: a text of JSON of at most 8000 characters/,
    );
  });
});
