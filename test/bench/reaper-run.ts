/**
 * One daily run of the reaper on a store of test/bench/reaper.ts, as the device bundles and starts it: FOLDER dry|wet.
 * Prints what it removed and what it cost, as JSON.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { createLog } from "../../services/lib/log.ts";
import { createAccountList } from "../../services/reaper/account-list.ts";
import { judgeClock } from "../../services/reaper/clock.ts";
import { openFullNotes } from "../../services/reaper/full-notes.ts";
import { openGoneNames } from "../../services/reaper/gone-names.ts";
import { createLastLogins } from "../../services/reaper/last-logins.ts";
import { openMailboxes } from "../../services/reaper/mailboxes.ts";
import { runReaper } from "../../services/reaper/run.ts";

const [folder, kind] = process.argv.slice(2) as [string, string];
const now = Date.now() / 1000;
const mail = join(folder, "mail");
const report = await runReaper("expire", kind === "dry", {
  config: {
    // The settings' defaults; their schema is not on the device's way either.
    messages: {
      deleteAfterDays: 20,
      largeMessageBytes: 200_000,
      deleteLargeAfterDays: 7,
      purgeAbovePercent: 75,
      purgeToPercent: 70,
      keepNewestHours: 24,
    } as RelayConfig["messages"],
    accounts: { deleteIdleAfterDays: 90 } as RelayConfig["accounts"],
  },
  limits: { bytes: 500_000_000, messages: 122_071 },
  mailboxes: openMailboxes(mail, join(mail, "index")),
  accounts: createAccountList(join(folder, "accounts.sock")),
  lastLogins: createLastLogins(join(folder, "metadata.sock")),
  connected: async () => new Set(),
  notes: openFullNotes(folder, folder),
  noted: [],
  gone: openGoneNames(join(folder, "gone")),
  clock: judgeClock(
    { now, syncedAt: now },
    { lastRun: now - 86_400, wasSynced: true, trustedSince: 0, doubts: [] },
  ),
  now,
  freeBytes: () => Number.POSITIVE_INFINITY,
  reserve: 0,
  queueBytes: { all: 0, held: 0 },
  log: createLog(),
});
const { user, system } = process.cpuUsage();
const { removed, failures } = report;
// Of this program: getrusage(2) counts what the process was before exec(2).
const peak = Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
console.log(
  JSON.stringify({
    removed: removed.age.messages,
    failures,
    cpu: (user + system) / 1e6,
    memory: peak / 1024,
  }),
);
