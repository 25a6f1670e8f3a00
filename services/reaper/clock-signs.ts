/**
 * Reads by what the clock is judged (clock.ts): when a time server set it, and what it said early in this boot. Called by
 * main.ts.
 */
import { lstatSync, type Stats } from "node:fs";
import type { ClockSigns } from "./clock.ts";

/**
 * @param at `now` and `uptime` in seconds; `synced` is the file that systemd-timesyncd makes once a time server set the
 *   clock, and touches whenever one did so again. `early` is something in memory (statx(2), btime) that is made when
 *   systemd-timesyncd has put the clock to where it stopped, and before anything of the relay is stamped: a socket of
 *   systemd's, for those come after sysinit.target, and that after systemd-timesyncd. Directories of systemd-tmpfiles are
 *   older: when they are made the clock may still be at the day of the image.
 */
export function readClockSigns(
  at: Readonly<{ now: number; uptime: number; synced: string; early: string }>,
): ClockSigns {
  const synced = lstatSync(at.synced, { throwIfNoEntry: false });
  const early = lstatSync(at.early, { throwIfNoEntry: false });
  const born = early === undefined ? 0 : early.birthtimeMs / 1000;
  return {
    now: at.now,
    syncedAt: synced === undefined ? undefined : firstTime(synced),
    ...(born > 0 && { boot: { clockSaid: born, was: at.now - at.uptime } }),
  };
}

/** Unix seconds. A file system that knows no births says 0. */
function firstTime({ birthtimeMs, mtimeMs }: Stats): number {
  return (birthtimeMs > 0 ? Math.min(birthtimeMs, mtimeMs) : mtimeMs) / 1000;
}
