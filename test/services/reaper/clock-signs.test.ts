import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { judgeClock } from "../../../services/reaper/clock.ts";
import { readClockSigns } from "../../../services/reaper/clock-signs.ts";

const HOUR = 3_600;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-clock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("knows what the clock said early in this boot, and when a time server set it first", () => {
  const [synced, early] = [join(folder, "synchronized"), join(folder, "socket")];
  const said = Date.now() / 1000;
  writeFileSync(early, "");
  writeFileSync(synced, "");
  // Half an hour after the start a time server says that it is ten hours later, and says so again since.
  const now = said + 10 * HOUR;
  utimesSync(synced, now, now);
  const signs = readClockSigns({ now, uptime: HOUR / 2, synced, early });
  expect(signs.syncedAt).toBeCloseTo(said, -1);
  expect(signs.boot?.clockSaid).toBeCloseTo(said, -1);
  expect(signs.boot?.was).toBe(now - HOUR / 2);
  const { doubts } = judgeClock(signs, undefined).state();
  expect(doubts).toHaveLength(1);
});

it("knows nothing where there is nothing to see", () => {
  const [synced, early] = [join(folder, "synchronized"), join(folder, "socket")];
  expect(readClockSigns({ now: 5, uptime: 1, synced, early })).toEqual({ now: 5, syncedAt: undefined });
});
