import { lstatSync, mkdtempSync, rmSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type ClockState, judgeClock } from "../../../services/reaper/clock.ts";
import { keepDoubts, readClockState, writeClockState } from "../../../services/reaper/state.ts";
import { DAY, now } from "./store.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-state-"));
  path = join(folder, "state.json");
});
afterEach(() => rmSync(folder, { recursive: true }));

const never = (cause: unknown) => {
  throw cause;
};

it("is read as it was written, pauses included", async () => {
  const last = judgeClock({ now: now - 30 * DAY, syncedAt: now }, undefined).state();
  const state = judgeClock({ now, syncedAt: now }, last).state();
  expect(state.pauses).toHaveLength(1);
  await writeClockState(path, state);
  expect(readClockState(path, never)).toEqual(state);
});

it("takes a doubt between two daily runs, and stays as old as it was", async () => {
  const last: ClockState = { lastRun: now - DAY / 2, wasSynced: true, trustedSince: 0, doubts: [] };
  await writeClockState(path, last);
  utimesSync(path, last.lastRun, last.lastRun);
  const boot = { clockSaid: now - DAY / 3, was: now - 900 };
  const { doubts } = judgeClock({ now, syncedAt: now - 600, boot }, last).state();
  await keepDoubts(path, last, doubts);
  expect(readClockState(path, never)).toEqual({
    ...last,
    doubts: [{ from: now - DAY / 3, to: now - DAY / 3 + 300, real: now - 600 }],
  });
  expect(statSync(path).mtimeMs).toBe(last.lastRun * 1000);
  // Before the first daily run there is nothing to add to.
  rmSync(path);
  await keepDoubts(path, undefined, doubts);
  expect(readClockState(path, never)).toBeUndefined();
});

it("counts as none while it cannot be read, and is replaced by the next", async () => {
  // As a bad sector, it is there and lets nobody read it; root would read what has no permissions.
  symlinkSync(path, path);
  const causes: unknown[] = [];
  expect(readClockState(path, (cause) => causes.push(cause))).toBeUndefined();
  expect(causes).toEqual([expect.objectContaining({ code: "ELOOP" })]);
  const state = judgeClock({ now, syncedAt: now }, undefined).state();
  await writeClockState(path, state);
  expect(lstatSync(path).isFile()).toBe(true);
  expect(readClockState(path, never)).toEqual(state);
});
