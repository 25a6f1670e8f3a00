/**
 * Reads what the reaper keeps of its last run, over reboots (clock.ts). Called by main.ts, which writes it. A state that
 * cannot be read counts as none: the clock then has to show itself right once more.
 */
import { readFileSync } from "node:fs";
import type { ClockState } from "./clock.ts";

/** Undefined when there is none, or it is damaged; `onDamage` hears of that. */
export function readClockState(path: string, onDamage: (cause: unknown) => void): ClockState | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as ClockState;
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
    onDamage(cause);
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}
