/**
 * Mail between relays while the programs of both sides are killed: nothing that was taken is lost, nothing arrives twice.
 * test/bench/kills.ts does the same over a hundred kills.
 */
import { expect, it } from "vitest";
import { countThroughKills } from "../support/kills.ts";
import { describeRelays } from "../support/ring.ts";

const KILLS = 6;

const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

describeRelays("mail through kills", { "_a.test": { settings }, "_b.test": { settings } }, (ring) => {
  it("loses no message that was taken, and delivers none twice", async () => {
    const result = await countThroughKills({
      from: ring.relay("_a.test"),
      to: ring.relay("_b.test"),
      kills: KILLS,
      random: Math.random,
    });
    expect(result.lost).toEqual([]);
    expect(result.doubled).toEqual([]);
    expect(result.taken).toBeGreaterThan(KILLS);
  });
});
