/**
 * The units around services/reaper, which deletes what is old and makes room: it runs every day, when Dovecot says that a
 * mailbox is nearly full, and when somebody asks. Nothing of it stays in memory. Put into the root file system by
 * appliance/rootfs.ts.
 */
import {
  clockSyncedPath,
  dataPaths,
  nodeBinary,
  programDirectory,
  reaperStatePath,
  runPaths,
  users,
} from "../layout.ts";
import { neverGiveUp, sandboxLines } from "./sandbox.ts";
import type { NodeSettings } from "./service-unit.ts";
import { startsLater } from "./start-order.ts";

/** Between two looks whether there is something to do; each costs some processes of a millisecond. */
const LOOK_EVERY = "30min";
/** Minutes from one run through all mailboxes to the next: a day, less what the looks in between may be late. */
const DAY_MINUTES = 23 * 60;
/** A year of the largest relay: a card that is slow and worn deletes some hundred files a second. */
const LONGEST_RUN = "6h";

/**
 * It goes through names and calls the kernel: compiled code would make it no faster, and costs 9 MB (test/bench/reaper.ts).
 */
export const reaperNode: NodeSettings = {
  flags: ["--jitless", "--max-semi-space-size=1", "--v8-pool-size=1"],
  environment: { MALLOC_ARENA_MAX: "2" },
};

/**
 * Run by Dovecot, as vmail, within the delivery or APPEND that filled the mailbox so far: it must be quick. An address has
 * no slash (services/auth/rules.ts); whatever else would be a path is not noted.
 */
export const fullNoteScript = {
  path: `${programDirectory}/note-full-mailbox`,
  mode: 0o755,
  content: `#!/bin/sh
# note-full-mailbox ADDRESS: has services/reaper look at the mailbox. Called by Dovecot (quota warning).
case "$1" in
  */* | .* | '') exit 1 ;;
  *@*) : >"${runPaths.reaperFull}/$1" ;;
esac
`,
} as const;

/**
 * Whether there is something to do, so that Node starts only then: the daily run; a mailbox to look at again, or one that
 * Dovecot noted and no run has taken; something that a run left undone, for the status page tells of it; less free space than one and a half times what Postfix demands (disk-room.ts); or,
 * once in a boot, that a time server set the clock.
 */
export const reaperDueScript = {
  path: `${programDirectory}/reaper-due`,
  mode: 0o755,
  content: `#!/bin/sh
# reaper-due MODE [ROOT]: exit code 0 when services/reaper has something to do. Called by homing-reaper@.service; ROOT is
# for tests.
set -eu
[ "$1" = look ] || exit 0
root=\${2:-}
[ -z "$(ls -A "$root${runPaths.reaperAgain}")" ] || exit 0
[ -z "$(ls -A "$root${runPaths.reaperFull}")" ] || exit 0
[ ! -e "$root${runPaths.reaperFailed}" ] || exit 0
# A time server set the clock in this boot, and for how long it was wrong before is not kept yet (state.ts).
[ ! -e "$root${clockSyncedPath}" ] || [ -e "$root${runPaths.reaperClockKept}" ] || exit 0
# Written by each daily run. What seems to come from tomorrow was written before the clock was set.
state=$root${reaperStatePath}
[ -n "$(find "$state" -mmin -${DAY_MINUTES} -mmin +-1 2>/dev/null)" ] || exit 0
read -r sign_up mail <"$root${runPaths.room}"
read -r free size <<END
$(stat --file-system --format '%a %S' "$root${dataPaths.mail}")
END
[ $((free * size)) -lt $((mail * 3 / 2)) ]
`,
} as const;

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function reaperUnits(hide: readonly string[]): Record<string, string> {
  return {
    "homing-reaper@.service": reaperService(hide),
    "homing-reaper.timer": lookTimer,
    "homing-reaper-full.path": fullPath,
  };
}

/**
 * As vmail, whose files all mailboxes are, and in the group that the account service and Dovecot know it by. One at a
 * time: flock(1) makes the next one wait.
 */
const reaperService = (hide: readonly string[]) => `[Unit]
Description=Delete what is old (%i)
Requires=homing-configure.service
# The path unit gives up when runs fail at once and over and over; the next look has it try again.
Wants=homing-auth-reaper.socket homing-metadata.socket homing-reaper-full.path
After=homing-configure.service homing-auth-reaper.socket homing-metadata.socket dovecot.service
# As often as Dovecot has a note.
${neverGiveUp}

[Service]
Type=oneshot
User=${users.vmail.name}
SupplementaryGroups=${users.reaper.name}
SyslogIdentifier=homing-reaper
${startsLater}
# Nobody waits for it; whoever reads mail does.
CPUWeight=20
IOSchedulingClass=idle
${Object.entries(reaperNode.environment)
  .map(([name, value]) => `Environment=${name}=${value}`)
  .join("\n")}
ExecCondition=${reaperDueScript.path} %i
ExecStart=/usr/bin/flock ${runPaths.reaper}/lock ${nodeBinary} ${reaperNode.flags.join(" ")} ${programDirectory}/reaper.mjs %i
TimeoutStartSec=${LONGEST_RUN}
${sandboxLines({
  network: "none",
  write: [dataPaths.mail, dataPaths.reaper, runPaths.reaper, runPaths.metrics],
  hide: [...hide, dataPaths.accounts, dataPaths.metadata, dataPaths.postfix],
})}
`;

/**
 * A relay that is off at night is looked after by day: the daily run is due a day after the last one, kept on the disk,
 * at a minute that differs from relay to relay and from day to day.
 */
const lookTimer = `[Unit]
Description=See from time to time what is to be deleted

[Timer]
OnActiveSec=15min
OnUnitInactiveSec=${LOOK_EVERY}
RandomizedDelaySec=15min
Unit=homing-reaper@look.service

[Install]
WantedBy=homing.target
`;

const fullPath = `[Unit]
Description=See when a mailbox is nearly full

[Path]
DirectoryNotEmpty=${runPaths.reaperFull}
# A note that no run takes must not start one over and over.
TriggerLimitIntervalSec=10s
TriggerLimitBurst=20
Unit=homing-reaper@full.service

[Install]
WantedBy=homing.target
`;
