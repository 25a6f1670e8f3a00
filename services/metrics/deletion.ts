/**
 * When the last daily deletion of old mail was. The reaper keeps its counts in memory, so that after a start there are none
 * before its next run; this it keeps on the disk (services/reaper). Called by scrape.ts.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { reaperStatePath } from "../../appliance/layout.ts";
import { gauge } from "./families.ts";
import type { Family } from "./text-format.ts";

/** Undefined before the first run of all. */
export function lastDeletion(root = "/"): Family | undefined {
  const path = join(root, reaperStatePath);
  let time: number | undefined;
  try {
    const milliseconds = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    time = milliseconds === undefined ? undefined : Math.floor(milliseconds / 1000);
  } catch {
    // No right to see it, or a disk that fails: no series, for which there is an alert.
  }
  return gauge(
    "homing_reaper_last_run_timestamp_seconds",
    "When the last daily run was, Unix time.",
    time === undefined ? [] : [[time]],
  );
}
