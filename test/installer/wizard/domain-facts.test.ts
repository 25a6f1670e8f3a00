/** What the wizard learns of a domain (installer/wizard/domain-facts.ts), from a real name server. */

import { Resolver } from "node:dns/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lookAtDomain } from "../../../installer/wizard/domain-facts.ts";
import { type Knot, missingKnot, startKnot } from "../../support/knot.ts";

const { signal } = new AbortController();
const recognise = (servers: readonly string[]) =>
  servers.includes("ns.rosegarden.net")
    ? { provider: "rose", providerName: "Rose", pathByHand: [] }
    : { provider: undefined, providerName: undefined, pathByHand: [] };
const key = { name: "key", algorithm: "hmac-sha256", secret: Buffer.from("secret").toString("base64") };

describe.skipIf(missingKnot)(`a domain${missingKnot ? ` (${missingKnot})` : ""}`, () => {
  let folder: string;
  let knot: Knot;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-facts-"));
    knot = await startKnot(
      folder,
      "rosegarden.net",
      [
        "rosegarden.net. 60 MX 10 mx.fleet.net.",
        "chat.rosegarden.net. 60 MX 10 chat.rosegarden.net.",
        "none.rosegarden.net. 60 MX 0 .",
      ],
      [key],
    );
  });
  afterAll(async () => {
    await knot?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const look = (domain: string) => lookAtDomain(domain, knot.lookups as Resolver, recognise, signal);

  it("is found in its zone, with whoever keeps it and whoever has its mail", async () => {
    expect(await look("rosegarden.net")).toEqual({
      ...{
        domain: "rosegarden.net",
        reachable: true,
        zone: "rosegarden.net",
        nameServers: ["ns.rosegarden.net"],
      },
      ...{ provider: "rose", providerName: "Rose", pathByHand: [], mailServers: ["mx.fleet.net"] },
    });
  });

  it.each(["chat", "none", "new"])("%s.rosegarden.net receives no mail elsewhere", async (label) => {
    expect(await look(`${label}.rosegarden.net`)).toMatchObject({ zone: "rosegarden.net", mailServers: [] });
  });
});

describe("without a DNS", () => {
  it("nothing is known, and nobody waits long", async () => {
    const lookups = new Resolver({ timeout: 200, tries: 1 });
    lookups.setServers(["127.0.0.1:9"]);
    expect(await lookAtDomain("rosegarden.net", lookups, recognise, signal)).toMatchObject({
      ...{ reachable: false, zone: undefined, mailServers: [] },
    });
  });

  it("a test name needs none", async () => {
    const lookups = new Resolver();
    lookups.setServers(["127.0.0.1:9"]);
    expect((await lookAtDomain("_try.test", lookups, recognise, signal)).reachable).toBe(true);
  });
});
