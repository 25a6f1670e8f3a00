/** Waiting until every name server shows a relay's records (installer/dns/watch.ts), by real name servers. */
import { describe, expect, it } from "vitest";
import { watchDns } from "../../../installer/dns/watch.ts";
import { missingServers, type TestZone } from "./name-servers.ts";
import { desired, internetOf, lines } from "./relay-zones.ts";

const zones: TestZone[] = [
  { name: "split.test", records: lines("split.test"), second: lines("split.test", "split.test MX") },
  { name: "late.test", records: lines("late.test"), second: [] },
];

describe.skipIf(missingServers !== undefined)(
  `waiting for a relay's records (${missingServers ?? "here"})`,
  () => {
    const internet = internetOf(zones);

    it("waits until every server shows the records, and tells how many do", async () => {
      const looks: number[] = [];
      const state = await watchDns(desired("late.test"), {
        world: internet().world,
        awaited: [{ name: "late.test", type: "MX" }],
        clock: {
          now: () => performance.now(),
          wait: async () => internet().reload("late.test", "second", lines("late.test")),
        },
        onLook: ({ done }) => looks.push(done),
      });
      expect(state).toMatchObject({ done: 1, total: 1, report: { works: true } });
      expect(looks.at(0)).toBe(0);
      expect(looks.at(-1)).toBe(1);
    });

    it("gives up waiting when the time is over, and says what is missing", async () => {
      let time = 0;
      const wait = async (milliseconds: number) => {
        time += milliseconds;
      };
      const state = await watchDns(desired("split.test"), {
        ...{ world: internet().world, limit: 10_000, clock: { now: () => time, wait } },
      });
      expect(state).toMatchObject({ done: 13, total: 14, report: { works: false } });
      expect(time).toBeLessThanOrEqual(10_000);
    });

    it.each([
      [undefined, 10],
      [20, 20],
    ])(
      "waits as long as a provider with %s minutes of its own takes: %s",
      async (publicationMinutes, whole) => {
        let minutes = 0;
        const wait = async () => {
          minutes += 5;
        };
        const clock = { now: () => minutes * 60_000, wait };
        await watchDns(desired("split.test"), { world: internet().world, clock, publicationMinutes });
        expect(minutes).toBe(whole);
      },
    );
  },
);
