/**
 * How a relay tells its state without anybody logging in: a page on every screen and serial line, and the light of a
 * Raspberry Pi. A timer runs `look`, some processes of a few milliseconds; only when what it sees has changed, the
 * page is made anew (appliance/life/status.ts) and shown. Nothing of it stays in memory in between.
 */
import { dirname } from "node:path";
import { canaryPatience } from "../canary.ts";
import {
  dataPaths,
  nodeBinary,
  programDirectory,
  reaperStatePath,
  runDirectory,
  runPaths,
} from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { bytesPerFile, demandedPercentOfDisk } from "./capacity.ts";
import { queueReserveBytes } from "./postfix-main.ts";
import { sandboxLines } from "./sandbox.ts";
import { lookAtWifi } from "./wifi.ts";

/** From a change to the page, at most; each look takes a Pi 3 a tenth of a second. */
const lookEverySeconds = 20;

/** Deletion's timer looks within the first half hour; a run takes six hours at most (reaper.ts). */
const longestDeletionSeconds = 8 * 3_600;
/** A daily run that is a day late may be of a relay that is off now and then. */
const oldDeletionMinutes = 3 * 24 * 60;

/** What the script `look` compares free room with: two numbers of bytes, for sign-up and for mail. */
export function roomFile(config: RelayConfig): string {
  return `${config.signUp.minFreeDiskBytes} ${queueReserveBytes(config)}\n`;
}

/** Directories with secrets: the page tells of what others wrote, and nothing that lies there may ever get into it. */
const hidden = [
  ...[dataPaths.accounts, dataPaths.mail, dataPaths.metadata, dataPaths.dkim, dataPaths.canary],
  ...[runPaths.acmeAccountKey, runPaths.tlsKey, runPaths.dkimKey, runPaths.authSecret, runPaths.wifi].map(
    (path) => dirname(path),
  ),
  dirname(runPaths.turnSecret),
];

const lookScript = (units: readonly string[]) => `#!/bin/sh
# look [ROOT]: writes what the status page depends on to ${runPaths.state}.new. Exit code 1: nothing changed since the
# page was shown. Called by homing-status.service as its condition; ROOT is for tests.
set -eu
root=\${1:-}
# What of a file says that it is another one. It lies in a folder of others: it is not opened, and no link is followed.
sign() { ! is=$(stat -c '%i %Y %s' "$root$2" 2>/dev/null) || echo "$1 $is"; }
state=$root${runPaths.state}
# The first time the addresses are worth waiting for; a relay without network says so as well.
[ -e "$state" ] || "$root/usr/lib/systemd/systemd-networkd-wait-online" --any --timeout=20 >/dev/null 2>&1 || true

room() {
  read -r sign_up mail <"$root${runPaths.room}" || return 0
  read -r free blocks size files <<END
$(stat --file-system --format '%a %b %S %d' "$root/data")
END
  share=$((blocks * size / 100 * ${demandedPercentOfDisk}))
  [ "$share" -ge "$sign_up" ] || sign_up=$share
  if [ $((free * size)) -lt "$mail" ]; then echo "room none"
  elif [ $((free * size)) -lt "$sign_up" ] || [ $((files * ${bytesPerFile})) -lt "$sign_up" ]; then echo "room no-sign-up"
  fi
}

# unchanged FILE SEEN: for how many seconds FILE is the same, or missing, as SEEN keeps it. By the time since the start: the
# clock may be set meanwhile.
unchanged() {
  read -r up rest <"$root/proc/uptime" || { echo 0; return 0; }
  up=\${up%%.*}
  is=$(stat -c '%i %Y %s' "$root$1" 2>/dev/null) || is=none
  { read -r since was <"$root$2"; } 2>/dev/null || was=
  if [ "$is" != "$was" ]; then
    since=$up
    echo "$up $is" >"$root$2"
  fi
  echo $((up - since))
}

canary() {
  [ "$(unchanged ${runPaths.canaryVerdict} ${runPaths.canarySeen})" -lt ${canaryPatience} ] || echo "canary-old"
}

# What seems to come from tomorrow was written before the clock was set.
reaper() {
  [ ! -e "$root${runPaths.reaperFailed}" ] || echo "reaper failed"
  [ "$(unchanged ${reaperStatePath} ${runPaths.reaperSeen})" -ge ${longestDeletionSeconds} ] || return 0
  [ -n "$(find "$root${reaperStatePath}" -mmin -${oldDeletionMinutes} 2>/dev/null)" ] || echo "reaper old"
}

${lookAtWifi}

{
  set -- ${units.join(" ")}
  systemctl is-active "$@" | while read -r is; do
    echo "unit $1 $is"
    shift
  done
  ip -oneline address show up scope global | awk '{ sub("/.*", "", $4); print "address", $4 }'
  [ ! -e "$root${runPaths.room}" ] || room
  [ ! -e "$root${runPaths.wifi}" ] || wifi
  sign certificate ${runPaths.certificateProblem}
  sign names ${runPaths.certificateRefused}
  sign canary ${runPaths.canaryProblem}
  [ ! -e "$root${runPaths.relayConfig}" ] || { canary; reaper; }
  sign metadata ${runPaths.metadataProblem}
  sign turn ${runPaths.turnProblem}
  ! findmnt --noheadings --options ro "$root/data" >/dev/null 2>&1 || echo "data read-only"
} >"$state.new"
[ "$(cat "$state.new")" != "$(cat "$state" 2>/dev/null)" ]
`;

const lightScript = `#!/bin/sh
# light healthy|attention [FOLDER]: the light of a Raspberry Pi (FOLDER: /sys/class/leds). Healthy is a heart that
# beats, made by the kernel, so that it stops when the kernel does; attention is a second on, a second off. While the
# system starts it blinks fast (image/initramfs/init.sh).
set -eu
for led in ACT led0 PWR; do
  led=\${2:-/sys/class/leds}/$led
  [ -e "$led/trigger" ] || continue
  case "$1" in
    healthy) echo heartbeat >"$led/trigger" ;;
    attention) echo timer >"$led/trigger"; echo 1000 >"$led/delay_on"; echo 1000 >"$led/delay_off" ;;
  esac
  exit 0
done
`;

/*
 * The kernel names its consoles in order, the last one is what /dev/console leads to. In a container there is only that.
 * A serial line may stand still because of its flow control, or not exist, and must not keep the others waiting.
 */
const showScript = `#!/bin/sh
# show: the status page to all consoles, its gist to the light. Called by homing-status.service.
set -u
shown=
for name in $(cat /sys/class/tty/console/active 2>/dev/null); do
  # The screen: what is shown there is a terminal of its own.
  [ "$name" != tty0 ] || name=tty1
  [ -c "/dev/$name" ] || continue
  shown=yes
  case $name in
    tty[0-9]*) printf '\\033[2J\\033[H' | cat - ${runPaths.statusPage} | timeout 5 tee "/dev/$name" ;;
    *) timeout 5 tee "/dev/$name" <${runPaths.statusPage} ;;
  esac >/dev/null 2>&1
done
[ -n "$shown" ] || timeout 5 tee /dev/console <${runPaths.statusPage} >/dev/null
${programDirectory}/light "$(cat ${runPaths.light})" || echo "the light cannot be set" >&2
# From here on this is what was shown.
mv ${runPaths.state}.new ${runPaths.state}
`;

/** `units` are those that must be active. */
export const statusScripts = (units: readonly string[]) => [
  { path: `${programDirectory}/look`, mode: 0o755, content: lookScript(units) },
  { path: `${programDirectory}/light`, mode: 0o755, content: lightScript },
  { path: `${programDirectory}/show`, mode: 0o755, content: showScript },
];

/**
 * The network is that of the machine because `look` asks for its addresses; even privileged commands of a unit are in
 * the unit's network. Only the program reads what strangers may have had a hand in (settings, texts of errors), so it
 * is in the sandbox. `hide`: directories with secrets of others.
 */
export const statusService = (hide: readonly string[]) => `[Unit]
Description=Say on the console how the relay is
After=homing.target

[Service]
Type=oneshot
ExecCondition=+${programDirectory}/look
ExecStart=${nodeBinary} ${programDirectory}/status.mjs
ExecStartPost=+${programDirectory}/show
SyslogIdentifier=%N
# Not that systemd ran it once more; only what it says.
SyslogLevel=notice
LogLevelMax=notice
TimeoutStartSec=2min
# The consoles, for the script that shows the page; the program has none of them.
DeviceAllow=char-tty* rw
DeviceAllow=char-hvc rw
DeviceAllow=/dev/console rw
${sandboxLines({ network: "host", write: [runDirectory], hide: [...hide, ...hidden] })}

[Install]
WantedBy=multi-user.target
`;

export const statusTimer = `[Unit]
Description=See from time to time how the relay is

[Timer]
OnUnitInactiveSec=${lookEverySeconds}s
AccuracySec=1s

[Install]
WantedBy=homing.target
`;
