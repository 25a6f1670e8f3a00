/** Whether a DKIM key is at every name server (appliance/dns/published.ts). Real servers: test/relay/dkim.test.ts. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { type Resolvers, whereIsDkimKey, ZoneError } from "../../../appliance/dns/published.ts";
import { dkimPublicKey, relayRecords } from "../../../appliance/dns/records.ts";
import { nameServers } from "./name-servers.ts";

const name = "homing2._domainkey.chat.example.org";
const makeKey = () =>
  generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" });
const pem = makeKey() as string;
const key = createPublicKey(pem);
const p = dkimPublicKey(pem);
const { knowing, failing, of } = nameServers;

const good = knowing({ [name]: [[`v=DKIM1;k=rsa;p=${p};s=email;t=s`]] });
const other = knowing({ [name]: [[`v=DKIM1;k=rsa;p=${dkimPublicKey(makeKey() as string)}`]] });
const nothing = knowing({});

const states = async (resolvers: Resolvers) => {
  const { everywhere, findings } = await whereIsDkimKey(name, key, resolvers);
  return [everywhere, ...findings.map(({ state }) => state)];
};

describe("a DKIM key", () => {
  it("is published when every name server has it", async () => {
    expect(await states(of("example.org", { "192.0.2.1": good, "192.0.2.2": good }))).toEqual([
      true,
      "published",
      "published",
    ]);
  });

  it.each([
    ["lacks it", nothing, "no key"],
    ["has another one", other, "another key"],
    ["has a revoked one", knowing({ [name]: [["v=DKIM1;p="]] }), "another key"],
    ["does not answer", failing("ETIMEOUT"), "silent"],
    ["is no server of the zone", failing("EREFUSED"), "silent"],
  ])("is not, when one of two %s", async (_what, server, state) => {
    expect(await states(of("example.org", { "192.0.2.1": good, "192.0.2.2": server }))).toEqual([
      false,
      "published",
      state,
    ]);
  });

  it("is found by its meaning, however the provider writes it", async () => {
    const texts = [[`v=DKIM1; p=${p.slice(0, 200)} `, p.slice(200)], [`k=rsa; t=s; p=${p};`]];
    for (const text of texts)
      expect(await states(of("example.org", { "192.0.2.1": knowing({ [name]: [text] }) }))).toEqual([
        true,
        "published",
      ]);
  });

  it("is what relayRecords prints", async () => {
    const record = relayRecords({
      domain: "chat.example.org",
      dkim: [{ selector: "homing2", publicKey: p }],
    }).find((each) => each.name === name);
    const text = record?.type === "TXT" ? record.text : "";
    expect(await states(of("example.org", { "192.0.2.1": knowing({ [name]: [[text]] }) }))).toEqual([
      true,
      "published",
    ]);
  });

  it("needs no answer by IPv6 where the same server answers by IPv4, but none against it either", async () => {
    const both = (ipv6: typeof good): Resolvers => {
      const { system, at } = of("example.org", { "192.0.2.1": good, "2001:db8::1": ipv6 });
      return {
        system: {
          ...system,
          resolveNs: async (zone) => (await system.resolveNs(zone)).slice(0, 1),
          resolve6: async () => ["2001:db8::1"],
        },
        at,
      };
    };
    expect(await states(both(failing("ECONNREFUSED")))).toEqual([true, "published", "silent"]);
    expect(await states(both(nothing))).toEqual([false, "published", "no key"]);
  });

  it("is not, at a server that has no address", async () => {
    const resolvers = of("example.org", { "192.0.2.1": good });
    const system = {
      ...resolvers.system,
      resolveNs: async () => ["ns0.example.org", "without-address.example.org"],
    };
    expect(await states({ ...resolvers, system })).toEqual([false, "published", "silent"]);
  });

  it("is asked for at the closest zone, not at the one above", async () => {
    const above = of("org", { "192.0.2.9": nothing });
    const closest = of("chat.example.org", { "192.0.2.1": good });
    const system = {
      ...closest.system,
      resolveNs: (zone: string) => (zone === "org" ? above : closest).system.resolveNs(zone),
    };
    expect(await states({ system, at: closest.at })).toEqual([true, "published"]);
    await expect(states(above)).rejects.toThrow(ZoneError);
  });

  it("may be an alias into another zone, as far as that has it everywhere", async () => {
    const target = "key.provider.example";
    const alias = {
      ...nothing,
      resolveTxt: failing("ENODATA").resolveTxt!,
      resolveCname: async () => [target],
    };
    const zone = of("example.org", { "192.0.2.1": alias });
    const provider = (second: typeof good) =>
      of("provider.example", {
        "192.0.2.11": knowing({ [target]: [[`v=DKIM1;p=${p}`]] }),
        "192.0.2.12": second,
      });
    const joined = (second: typeof good): Resolvers => {
      const there = provider(second);
      const pick = (each: string) => (each.endsWith("provider.example") ? there : zone).system;
      return {
        system: {
          ...zone.system,
          resolveNs: (each) => pick(each).resolveNs(each),
          resolve4: (each) => pick(each).resolve4(each),
          resolve6: (each) => pick(each).resolve6(each),
        },
        at: (address) =>
          (address.startsWith("192.0.2.1") && address !== "192.0.2.1" ? there : zone).at(address),
      };
    };
    expect(await states(joined(knowing({ [target]: [[`v=DKIM1;p=${p}`]] })))).toEqual([true, "published"]);
    expect(await states(joined(nothing))).toEqual([false, "no key"]);
  });

  it("is followed through few aliases only", async () => {
    let asked = 0;
    const loop = {
      resolveTxt: failing("ENODATA").resolveTxt!,
      resolveCname: async () => {
        asked++;
        return [name];
      },
    };
    expect(await states(of("example.org", { "192.0.2.1": loop }))).toEqual([false, "no key"]);
    expect(asked).toBeLessThan(10);
  });

  it("is nowhere that can be said when the resolver fails", async () => {
    const { system, at } = of("example.org", { "192.0.2.1": good });
    const broken = { ...system, resolveNs: failing("ESERVFAIL").resolveTxt! as never };
    await expect(states({ system: broken, at })).rejects.toThrow("cannot find the name servers");
  });
});
