/** What services/reaper keeps of its last run, on a relay of ring 2: without it nothing counts as older than the next run. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClockState } from "../../services/reaper/clock.ts";

const DAY = 86_400;

/** As a relay has it that was never off for long: it believes the stamps of old messages. */
export async function writeReaperState({ dataFolder }: Readonly<{ dataFolder: string }>): Promise<void> {
  const lastRun = Math.floor(Date.now() / 1000) - DAY;
  const state: ClockState = { lastRun, wasSynced: true, trustedSince: 0, doubts: [] };
  await writeFile(join(dataFolder, "reaper", "state.json"), JSON.stringify(state), { mode: 0o644 });
}
