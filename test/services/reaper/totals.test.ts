import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { emptyReport } from "../../../appliance/reaper-report.ts";
import { createLog } from "../../../services/lib/log.ts";
import { writeCounters } from "../../../services/reaper/totals.ts";

it("adds up what runs removed, and keeps how the last daily one was", async () => {
  const path = mkdtempSync(join(tmpdir(), "homing-totals-"));
  try {
    const keep = join(path, "totals.json");
    const write = (mode: string, messages: number, time: number) => {
      const report = { ...emptyReport(false), time, seconds: 2, accounts: { idle: 1, asked: 0 } };
      report.removed.age = { messages, bytes: messages * 1_000 };
      return writeCounters({ report, mode, path, keep, log: createLog(() => {}) });
    };
    const text = () => readFileSync(join(path, "reaper.prom"), "utf8");
    await write("expire", 3, 1_800_000_000);
    await write("room", 4, 1_800_000_999);
    expect(text()).toContain('homing_reaper_messages_removed_total{reason="age"} 7\n');
    expect(text()).toContain('homing_reaper_bytes_removed_total{reason="age"} 7000\n');
    expect(text()).toContain('homing_reaper_accounts_removed_total{reason="idle"} 2\n');
    expect(text()).toContain('homing_reaper_runs_total{mode="room"} 1\n');
    expect(text()).toContain("homing_reaper_run_duration_seconds 2\n");
    // The metrics service says when, and would leave out a file that says it too.
    expect(text()).not.toContain("timestamp");
    // What cannot be read begins anew.
    writeFileSync(keep, "{");
    await write("expire", 1, 1_800_001_000);
    expect(text()).toContain('homing_reaper_messages_removed_total{reason="age"} 1\n');
  } finally {
    rmSync(path, { recursive: true });
  }
});
