/**
 * The units around services/certificates: a timer and a small script that starts it only when it is time, and the
 * path unit by which Postfix and Dovecot take over a new certificate. services/web watches the file itself. Put into
 * the root file system by appliance/rootfs.ts.
 */
import { dirname } from "node:path";
import {
  certificateLookedPath,
  certificateNextPath,
  dataPaths,
  nodeBinary,
  programDirectory,
  runDirectory,
  runPaths,
  tlsCertificatePath,
  users,
} from "../layout.ts";
import { neverGiveUp, sandboxLines } from "./sandbox.ts";
import { startsLater } from "./start-order.ts";

/** Between two looks at the clock; each costs two processes of a millisecond. */
const LOOK_EVERY = "2min";
/** What services/certificates plans is never further away: a later time means that the clock was set back. In days. */
export const LONGEST_PLAN_DAYS = 10;

/** One look: an authority may take minutes to look at a challenge, and a name server to show one. In minutes. */
export const LONGEST_LOOK_MINUTES = 30;

export const certificateDueScript = {
  path: `${programDirectory}/certificate-due`,
  mode: 0o755,
  content: `#!/bin/sh
# certificate-due [ROOT]: exit code 0 when services/certificates has something to do. Called by homing-certificates.service;
# ROOT is for tests.
set -eu
root=\${1:-}
# People start a relay again when they have mended something.
[ -e "$root${certificateLookedPath}" ] || exit 0
read -r next <"$root${certificateNextPath}" || exit 0
case "$next" in '' | *[!0-9]*) exit 0 ;; esac
now=$(date +%s)
[ "$now" -ge "$next" ] || [ $((next - now)) -gt ${LONGEST_PLAN_DAYS * 86_400} ]
`,
} as const;

/**
 * systemd starts nothing for a change that comes while the service of the path unit runs, so this looks again at its
 * end, and is also started after each run of services/certificates.
 */
export const certificateLoadScript = {
  path: `${programDirectory}/certificate-load`,
  mode: 0o755,
  content: `#!/bin/sh
# certificate-load [ROOT]: lets Postfix and Dovecot take over the certificate if it is not the one that they have.
# Called by homing-certificate-load.service; ROOT is for tests.
set -eu
root=\${1:-}
while
  there=$(sha256sum <"$root${tlsCertificatePath}")
  [ "$there" != "$(cat "$root${runPaths.certificateLoaded}" 2>/dev/null)" ]
do
  systemctl try-reload-or-restart dovecot.service postfix.service
  echo "$there" >"$root${runPaths.certificateLoaded}"
done
`,
} as const;

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function certificateUnits(hide: readonly string[]): Record<string, string> {
  return {
    "homing-certificates.service": certificatesService(hide),
    "homing-certificates.timer": certificatesTimer,
    "homing-certificate-load.path": certificatePath,
    "homing-certificate-load.service": certificateService(hide),
  };
}

/** Only where an authority is asked: configure.ts writes the account key then. */
const certificatesService = (hide: readonly string[]) => `[Unit]
Description=Get and renew the certificate
Requires=homing-configure.service
After=homing-configure.service network.target
ConditionPathExists=${runPaths.acmeAccountKey}
OnSuccess=homing-certificate-load.service

[Service]
Type=oneshot
User=${users.certificates.name}
LoadCredential=tls.pem:${runPaths.tlsKey}
LoadCredential=account.pem:${runPaths.acmeAccountKey}
LoadCredential=dns-update.key:${runPaths.dnsUpdateKey}
SyslogIdentifier=%N
${startsLater}
ExecCondition=${certificateDueScript.path}
ExecStart=${nodeBinary} ${programDirectory}/certificates.mjs
TimeoutStartSec=${LONGEST_LOOK_MINUTES}min
${sandboxLines({
  network: "world",
  write: [
    ...[dataPaths.certificates, dataPaths.tls],
    ...[runPaths.acmeChallenges, dirname(runPaths.certificateProblem), runPaths.metrics],
  ],
  hide: [
    ...hide.filter((path) => path !== dataPaths.tls),
    dataPaths.accounts,
    dataPaths.mail,
    dataPaths.metadata,
  ],
})}
`;

/** Soon after the start, for nobody should wait for the first one; spread, since authorities serve many. */
const certificatesTimer = `[Unit]
Description=See from time to time whether there is something to do for the certificate
After=homing-configure.service
ConditionPathExists=${runPaths.acmeAccountKey}

[Timer]
OnActiveSec=10s
OnUnitInactiveSec=${LOOK_EVERY}
RandomizedDelaySec=20s
AccuracySec=5s

[Install]
WantedBy=homing.target
`;

const certificatePath = `[Unit]
Description=See when there is a new certificate
# The mail servers start with what it finds or makes.
After=homing-configure.service

[Path]
PathChanged=${tlsCertificatePath}

[Install]
WantedBy=homing.target
`;

/** Both finish what they have: a connection lives on with the certificate that it began with. */
const certificateService = (hide: readonly string[]) => `[Unit]
Description=Let the mail servers take over the new certificate
After=homing-configure.service
# Started by the path and after each look; systemd's limit would leave the mail servers with the old one.
${neverGiveUp}

[Service]
Type=oneshot
SyslogIdentifier=%N
${startsLater}
ExecStart=${certificateLoadScript.path}
TimeoutStartSec=2min
${sandboxLines({
  network: "none",
  write: [runDirectory],
  hide: [
    ...hide.filter((path) => path !== dataPaths.tls),
    dataPaths.accounts,
    dataPaths.mail,
    dataPaths.metadata,
  ],
  privateUsers: false,
})}
`;
