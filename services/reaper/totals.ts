/**
 * What was deleted since the boot, as a file for the exporter (services/lib/counters.ts). The reaper does not stay in
 * memory, so the totals wait in a file from run to run. Called by main.ts.
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ReaperReport } from "../../appliance/reaper-report.ts";
import { createCounters } from "../lib/counters.ts";
import type { Log } from "../lib/log.ts";

/** Of the last daily run. When it was, services/metrics tells: that is known over reboots. */
const lastRunGauges = {
  homing_reaper_run_duration_seconds: "How long it took.",
  homing_reaper_clock_trusted: "1 when it believed the clock, 0 when nothing went by its age.",
};

type Totals = Record<string, number>;

export async function writeCounters(
  parts: Readonly<{ report: ReaperReport; mode: string; path: string; keep: string; log: Log }>,
): Promise<void> {
  const { report, mode, keep } = parts;
  const totals = addUp(readTotals(keep), mode, report);
  const counters = createCounters({ path: join(parts.path, "reaper.prom"), log: parts.log });
  const families = {
    messages: counters.counter(
      "homing_reaper_messages_removed_total",
      "Messages that were deleted, by reason.",
    ),
    bytes: counters.counter("homing_reaper_bytes_removed_total", "Their sizes as they were sent, in bytes."),
    accounts: counters.counter(
      "homing_reaper_accounts_removed_total",
      "Accounts that were deleted, by reason.",
    ),
    failures: counters.counter(
      "homing_reaper_failures_total",
      "Mailboxes and accounts that could not be worked on.",
    ),
    runs: counters.counter("homing_reaper_runs_total", "Runs, by what they were for."),
  };
  for (const [key, value] of Object.entries(totals)) {
    if (Object.hasOwn(lastRunGauges, key)) continue;
    const [family, label, name] = key.split(" ");
    families[family as keyof typeof families]?.add(label && name ? { [label]: name } : {}, value);
  }
  for (const [name, help] of Object.entries(lastRunGauges)) {
    const value = totals[name];
    if (value !== undefined) counters.gauge(name, help).set(value);
  }
  await counters.close();
  await writeFile(`${keep}.new`, JSON.stringify(totals));
  await rename(`${keep}.new`, keep);
}

/** By "FAMILY LABEL NAME", and the gauges by their names. */
function addUp(totals: Totals, mode: string, report: ReaperReport): Totals {
  const sums = { ...totals };
  const add = (key: string, value: number) => {
    sums[key] = (sums[key] ?? 0) + value;
  };
  for (const [reason, { messages, bytes }] of Object.entries(report.removed)) {
    add(`messages reason ${reason}`, messages);
    add(`bytes reason ${reason}`, bytes);
  }
  for (const [reason, accounts] of Object.entries(report.accounts))
    add(`accounts reason ${reason}`, accounts);
  add("failures", report.failures);
  add(`runs mode ${mode}`, 1);
  const lastRun: Record<keyof typeof lastRunGauges, number> = {
    homing_reaper_run_duration_seconds: report.seconds,
    homing_reaper_clock_trusted: report.refusal === undefined ? 1 : 0,
  };
  return mode === "expire" ? { ...sums, ...lastRun } : sums;
}

/** Empty when there are none, or they are damaged: counters that begin anew are what a restart looks like. */
function readTotals(path: string): Totals {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return Object.fromEntries(
      Object.entries(value as object).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
    );
  } catch {
    return {};
  }
}
