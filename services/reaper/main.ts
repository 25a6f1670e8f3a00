/**
 * homing-reaper@MODE.service: `reaper.mjs MODE`; `look` is the daily run or, when that was not long ago, `room`;
 * `dry-run` says what a daily run would delete. Ends when it is done; the units are in appliance/files/reaper.ts, what a
 * mode does stands in run.ts. Exit code 1: something could not be done.
 */
import { readFileSync, statfsSync, statSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import { mostMessages } from "../../appliance/files/capacity.ts";
import { clockSyncedPath, dataPaths, reaperStatePath, runPaths } from "../../appliance/layout.ts";
import type { ReaperReport } from "../../appliance/reaper-report.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { createAccountList } from "./account-list.ts";
import { judgeClock } from "./clock.ts";
import { readClockSigns } from "./clock-signs.ts";
import { noteFailures } from "./failure-note.ts";
import { openFullNotes } from "./full-notes.ts";
import { openGoneNames } from "./gone-names.ts";
import { createLastLogins } from "./last-logins.ts";
import { openMailboxes } from "./mailboxes.ts";
import { readQueueBytes } from "./queue-room.ts";
import { type RunMode, runModes, runReaper } from "./run.ts";
import { readConnected } from "./sessions.ts";
import { keepDoubts, readClockState, writeClockState } from "./state.ts";
import { writeCounters } from "./totals.ts";

const log = createLog();
const [argument = ""] = process.argv.slice(2);
const dryRun = argument === "dry-run";
const mode = dryRun
  ? "expire"
  : argument === "look"
    ? dueMode()
    : runModes.find((known) => known === argument);
if (mode === undefined) throw new Error(`usage: reaper.mjs ${runModes.join("|")}|look|dry-run`);

const notes = openFullNotes(runPaths.reaperFull, runPaths.reaperAgain);
// Before anything that may fail (full-notes.ts).
const noted = mode === "full" || mode === "room" ? notes.take() : [];
const config = await loadRelayConfig();
const state = readClockState(reaperStatePath, (cause) =>
  log.warn("what was kept of the last run cannot be used", { cause: String(cause) }),
);
const signs = readClockSigns({
  now: Date.now() / 1000,
  uptime: uptime(),
  synced: clockSyncedPath,
  early: runPaths.reaperSocket,
});
const clock = judgeClock(signs, state);
const report = await runReaper(mode, dryRun, {
  config,
  limits: { bytes: config.messages.mailboxBytes, messages: mostMessages(config.messages.mailboxBytes) },
  mailboxes: openMailboxes(dataPaths.mail, dataPaths.mailIndex),
  accounts: createAccountList(runPaths.reaperSocket),
  lastLogins: createLastLogins(runPaths.metadataSocket),
  connected: () => readConnected(runPaths.whoIsConnected),
  notes,
  noted,
  gone: openGoneNames(join(runPaths.reaper, "gone")),
  clock,
  now: signs.now,
  freeBytes: () => {
    const { bavail, bsize } = statfsSync(dataPaths.mail);
    return bavail * bsize;
  },
  reserve: readReserve(),
  queueBytes: readQueueBytes(runPaths.queueFigures, log),
  log,
});
if (!dryRun) {
  // Only a run that looked at everything has seen all stamps that are ahead of the clock.
  if (mode === "expire") await writeClockState(reaperStatePath, clock.state());
  else await keepDoubts(reaperStatePath, state, clock.state().doubts);
  if (signs.syncedAt !== undefined) await writeFile(runPaths.reaperClockKept, "", { mode: 0o644 });
  await noteFailures(runPaths.reaperFailed, mode, report.failures);
  await writeCounters({
    report,
    mode,
    path: runPaths.metrics,
    keep: join(runPaths.reaper, "totals.json"),
    log,
  });
}
// homing-ctl tells of what is done every day; a look at single mailboxes in between is not that.
if (mode === "expire") await writeReport(report);
log.info(dryRun ? "looked what would be deleted" : "deleted what was due", summary(report));
if (report.failures > 0) process.exitCode = 1;

/** A little less than a day, so that the time of day does not move on by much (appliance/files/reaper.ts). */
function dueMode(): RunMode {
  const last = statSync(reaperStatePath, { throwIfNoEntry: false });
  const hours = last === undefined ? Number.POSITIVE_INFINITY : (Date.now() - last.mtimeMs) / 3_600_000;
  return hours < 0 || hours >= 23 ? "expire" : "room";
}

/** Free bytes that Postfix demands: the second number of the file that the status scripts read. */
function readReserve(): number {
  const reserve = Number(readFileSync(runPaths.room, "utf8").trim().split(" ")[1]);
  if (!Number.isFinite(reserve))
    throw new Error(`${runPaths.room} names no free room: homing-configure writes it`);
  return reserve;
}

/** For homing-ctl, which waits for the end of the run. */
async function writeReport(report: ReaperReport): Promise<void> {
  const path = dryRun ? runPaths.reaperWould : runPaths.reaperReport;
  await writeFile(`${path}.new`, `${JSON.stringify({ mode, ...report })}\n`, { mode: 0o644 });
  await rename(`${path}.new`, path);
}

function summary({ removed, accounts, mailboxes, failures, seconds }: ReaperReport) {
  const all = Object.values(removed);
  return {
    mode,
    mailboxes,
    messages: all.reduce((sum, { messages }) => sum + messages, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    accounts: accounts.idle + accounts.asked,
    failures,
    seconds: Number(seconds.toFixed(3)),
  };
}
