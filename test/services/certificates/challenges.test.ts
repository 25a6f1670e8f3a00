/** Proofs in the DNS (services/certificates/challenges.ts) where the owner's zone changes meanwhile; on a real name server. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { zoneValues } from "../../../appliance/dns/one-value.ts";
import { rfc2136Provider } from "../../../appliance/dns/rfc2136.ts";
import { dnsChallenges } from "../../../services/certificates/challenges.ts";
import { createLog } from "../../../services/lib/log.ts";
import { missingKnot, startKnot } from "../../support/knot.ts";

const zone = "c.test";
const key = { name: "key", algorithm: "hmac-sha256", secret: Buffer.alloc(32, "k") } as const;

describe.skipIf(missingKnot !== undefined)(`a proof in the DNS (${missingKnot ?? "here"})`, () => {
  it("is taken away where it was put, also when the alias leads elsewhere by then", async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "homing-challenges-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const secret = key.secret.toString("base64");
    const knot = stack.use(await startKnot(folder, zone, [], [{ ...key, secret }]));
    const provider = rfc2136Provider({ server: { host: "127.0.0.1", port: knot.port }, zone, key });
    let target = `first.${zone}`;
    const { lookups } = knot;
    const system = {
      resolveNs: (name: string) => lookups.resolveNs(name),
      resolve4: (name: string) => lookups.resolve4(name),
      resolve6: (name: string) => lookups.resolve6(name),
      resolveTxt: (name: string) => lookups.resolveTxt(name),
      resolveCname: async (name: string) => {
        if (name.startsWith("_acme-challenge.")) return [target];
        throw Object.assign(new Error("no alias"), { code: "ENODATA" });
      },
    };
    const challenges = dnsChallenges(
      zoneValues(provider, zone),
      { ...knot.resolvers, system },
      createLog(() => {}),
    );
    await challenges.present(zone, "token", "the-proof");
    expect(await lookups.resolveTxt(`first.${zone}`)).toEqual([["the-proof"]]);
    target = `second.${zone}`;
    await challenges.remove(zone, "token", "the-proof");
    await expect(lookups.resolveTxt(`first.${zone}`)).rejects.toThrow(/ENODATA|ENOTFOUND/);
  });
});
