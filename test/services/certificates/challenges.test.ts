/** Proofs in the DNS (services/certificates/challenges.ts) where the owner's zone changes meanwhile; on a real name server. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ZoneValues, zoneValues } from "../../../appliance/dns/one-value.ts";
import { rfc2136Provider } from "../../../appliance/dns/rfc2136.ts";
import { dnsChallenges } from "../../../services/certificates/challenges.ts";
import { createPatience, OrderPendingError } from "../../../services/certificates/pending.ts";
import { openProofNotes } from "../../../services/certificates/proofs.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type Knot, missingKnot, startKnot } from "../../support/knot.ts";

const zone = "c.test";
const key = { name: "key", algorithm: "hmac-sha256", secret: Buffer.alloc(32, "k") } as const;
const answer = { name: zone, token: "token", keyAuthorization: "the-proof" };
const second = { name: `www.${zone}`, token: "token-2", keyAuthorization: "the-second" };
const gone = /ENODATA|ENOTFOUND/;
const silent = createLog(() => {});

describe.skipIf(missingKnot !== undefined)(`a proof in the DNS (${missingKnot ?? "here"})`, () => {
  let folder: string;
  let knot: Knot;
  let values: ZoneValues;
  let alias: string | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-challenges-"));
    knot = await startKnot(folder, zone, [], [{ ...key, secret: key.secret.toString("base64") }]);
    const provider = rfc2136Provider({ server: { host: "127.0.0.1", port: knot.port }, zone, key });
    values = zoneValues(provider, zone);
    alias = undefined;
  });
  afterEach(async () => {
    await knot[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const textsAt = (name: string) => knot.lookups.resolveTxt(name);

  /** Those of a new look. With `isHidden` the name servers do not show what is in the zone. */
  const open = async ({ isHidden = false, ...more }: { isHidden?: boolean; values?: ZoneValues } = {}) => {
    const { lookups } = knot;
    const system = {
      resolveNs: (name: string) => lookups.resolveNs(name),
      resolve4: (name: string) => lookups.resolve4(name),
      resolve6: (name: string) => lookups.resolve6(name),
      resolveTxt: (name: string) => lookups.resolveTxt(name),
      resolveCname: async (name: string) => {
        if (alias !== undefined && name.startsWith("_acme-challenge.")) return [alias];
        throw Object.assign(new Error("no alias"), { code: "ENODATA" });
      },
    };
    const resolveTxt = () => Promise.reject(Object.assign(new Error("hidden"), { code: "ENOTFOUND" }));
    const challenges = dnsChallenges({
      ...{ values, log: silent, limitMs: isHidden ? 0 : 10_000 },
      resolvers: { system, at: () => (isHidden ? { ...system, resolveTxt } : knot.resolvers.at("")) },
      notes: await openProofNotes(join(folder, "proofs.json"), silent),
      ...more,
    });
    const patience = createPatience(60_000);
    return { ...challenges, present: (one: typeof answer) => challenges.present(one, patience) };
  };
  const notes = async () => JSON.parse(await readFile(join(folder, "proofs.json"), "utf8")) as unknown[];

  it("is taken away where it was put, also when the alias leads elsewhere by then", async () => {
    const challenges = await open();
    alias = `first.${zone}`;
    await challenges.present(answer);
    expect(await textsAt(`first.${zone}`)).toEqual([["the-proof"]]);
    alias = `second.${zone}`;
    await challenges.remove(answer);
    await expect(textsAt(`first.${zone}`)).rejects.toThrow(gone);
    expect(await notes()).toEqual([]);
  });

  it("stays where name servers are slow, and the next look goes on with it", async () => {
    const slow = await open({ isHidden: true });
    await expect(slow.present(answer)).rejects.toThrow(OrderPendingError);
    await expect(slow.present(answer)).rejects.toThrow(
      /_acme-challenge\.c\.test was made, but .* 127\.0\.0\.1/,
    );
    expect(await textsAt(`_acme-challenge.${zone}`)).toEqual([["the-proof"]]);
    const next = await open();
    await next.sweep([answer]);
    expect(await textsAt(`_acme-challenge.${zone}`)).toEqual([["the-proof"]]);
    await next.present(answer);
    await next.remove(answer);
    await expect(textsAt(`_acme-challenge.${zone}`)).rejects.toThrow(gone);
    expect(await notes()).toEqual([]);
  });

  it("that a look left is taken away by the next one, which wants another, and where it was put", async () => {
    alias = `first.${zone}`;
    await (await open()).present(answer);
    alias = undefined;
    await (await open()).present(second);
    const next = await open();
    await next.sweep([second]);
    await expect(textsAt(`first.${zone}`)).rejects.toThrow(gone);
    expect(await textsAt(`_acme-challenge.www.${zone}`)).toEqual([["the-second"]]);
    await (await open()).sweep([]);
    await expect(textsAt(`_acme-challenge.www.${zone}`)).rejects.toThrow(gone);
    expect(await notes()).toEqual([]);
  });

  it("is looked for also when the answer to its making was lost, and again when it cannot be taken away", async () => {
    const lost = new Error("the line broke");
    const cutOff = await open({
      values: {
        add: async (value) => {
          await values.add(value);
          throw lost;
        },
        remove: () => Promise.reject(lost),
      },
    });
    await expect(cutOff.present(answer)).rejects.toThrow(lost);
    await expect(cutOff.remove(answer)).rejects.toThrow(lost);
    await cutOff.sweep([]);
    expect(await textsAt(`_acme-challenge.${zone}`)).toEqual([["the-proof"]]);
    expect(await notes()).toHaveLength(1);
    await (await open()).sweep([]);
    await expect(textsAt(`_acme-challenge.${zone}`)).rejects.toThrow(gone);
    expect(await notes()).toEqual([]);
  });
});
