/**
 * Reads and writes what the reaper keeps of its last run through all mailboxes, over reboots (clock.ts). Called by main.ts. A
 * state that cannot be read counts as none: all that is there then counts as having come on the day of the next such run.
 */
import { readFileSync, statSync, utimesSync } from "node:fs";
import { replaceDurably } from "../../appliance/durable.ts";
import type { ClockState, Doubt } from "./clock.ts";

/**
 * Undefined when there is none, or it is damaged, or the disk does not give it out (EIO of a bad sector): `onDamage` hears
 * of that. The next daily run writes a new file in its place.
 */
export function readClockState(path: string, onDamage: (cause: unknown) => void): ClockState | undefined {
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as ClockState;
    const numbers = [
      value.lastRun,
      value.trustedSince,
      ...value.doubts.flatMap(({ from, to, real }) => [from, to, real]),
      ...(value.pauses ?? []).flatMap(({ end, seconds }) => [end, seconds]),
    ];
    if (value.ahead !== undefined) numbers.push(value.ahead.upTo, value.ahead.since);
    if (!numbers.every(Number.isFinite) || typeof value.wasSynced !== "boolean")
      throw new TypeError("a time in it is no number");
    return value;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") onDamage(cause);
    return undefined;
  }
}

export async function writeClockState(path: string, state: ClockState): Promise<void> {
  await replaceDurably(path, `${JSON.stringify(state)}\n`, { mode: 0o600 });
}

/**
 * Keeps for how long clocks were wrong, by a run of another kind: a second start of the system may come before the next
 * daily run. When that is due goes by the file's time, which stays. Before the first of all there is nothing to keep: it
 * takes nothing for older than itself.
 */
export async function keepDoubts(
  path: string,
  last: ClockState | undefined,
  doubts: readonly Doubt[],
): Promise<void> {
  if (last === undefined || JSON.stringify(doubts) === JSON.stringify(last.doubts)) return;
  const { atimeMs, mtimeMs } = statSync(path);
  await writeClockState(path, { ...last, doubts });
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}
