/** The units around services/dkim, which looks whether the next DKIM key is in the DNS. Listed in units.ts. */
import { dataPaths, nodeBinary, programDirectory, runPaths, users } from "../layout.ts";
import { sandboxLines } from "./sandbox.ts";

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function dkimUnits(hide: readonly string[]): Record<string, string> {
  return { "homing-dkim.service": dkimService(hide), "homing-dkim.timer": dkimTimer };
}

/** Only while there is a key that waits for its turn. */
const dkimService = (hide: readonly string[]) => `[Unit]
Description=See whether the next DKIM key is in the DNS
Requires=homing-configure.service
After=homing-configure.service network.target
ConditionPathExists=${runPaths.dkimNextPublicKey}

[Service]
Type=oneshot
User=${users.dkim.name}
SyslogIdentifier=%N
ExecStart=${nodeBinary} ${programDirectory}/dkim.mjs
TimeoutStartSec=5min
${sandboxLines({
  network: "world",
  write: [dataPaths.dkim],
  hide: [...hide, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
})}
`;

/** Nobody waits for it: the old key signs until then. Spread, since many relays may share name servers. */
const dkimTimer = `[Unit]
Description=See from time to time whether the next DKIM key is in the DNS

[Timer]
OnCalendar=*:0/15
RandomizedDelaySec=5min

[Install]
WantedBy=homing.target
`;
