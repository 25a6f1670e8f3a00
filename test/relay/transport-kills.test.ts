/**
 * Mail between relays while the programs of both sides are killed, each once, two at a time: nothing that was taken is
 * lost, nothing arrives twice. test/bench/kills.ts does the same over a hundred kills.
 */
import { expect, it } from "vitest";
import { countThroughKills, victims } from "../support/kills.ts";
import { randomFrom } from "../support/random.ts";
import { describeRelays } from "../support/ring.ts";

const KILLS = 2 * victims.length;
const TOGETHER = 2;

const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

describeRelays("mail through kills", { "_a.test": { settings }, "_b.test": { settings } }, (ring) => {
  it("loses no message that was taken, and delivers none twice", async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`again: test/bench/kills.ts --rounds ${KILLS} --together ${TOGETHER} --seed ${seed}`);
    const result = await countThroughKills({
      from: ring.relay("_a.test"),
      to: ring.relay("_b.test"),
      ...{ kills: KILLS, together: TOGETHER, random: randomFrom(seed) },
    });
    expect(result.lost).toEqual([]);
    expect(result.doubled).toEqual([]);
    expect([...result.killed.values()]).toEqual(Array(KILLS).fill(1));
    expect(result.taken).toBeGreaterThanOrEqual(KILLS / TOGETHER);
    expect(result.arrived).toBe(result.taken);
  });
});
