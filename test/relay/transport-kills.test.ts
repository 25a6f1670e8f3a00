/** Mail between relays while the programs of both sides are killed; test/bench/kills.ts does it a hundred times. */
import { expect, it } from "vitest";
import { countThroughKills } from "../support/kills.ts";
import { describeRelays } from "../support/ring.ts";

const KILLS = 6;

const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

describeRelays("mail through kills", { "_a.test": { settings }, "_b.test": { settings } }, (ring) => {
  it("neither loses nor doubles a message", async () => {
    const result = await countThroughKills({
      from: ring.relay("_a.test"),
      to: ring.relay("_b.test"),
      kills: KILLS,
      random: Math.random,
    });
    expect(result).toMatchObject({ lost: [], doubled: [] });
    expect(result.taken).toBeGreaterThan(KILLS);
  });
});
