/**
 * The units around services/probe, the canary: a timer, a program that ends when it has looked, and the socket at which it
 * asks the account service for its account. Put into the root file system by appliance/rootfs.ts.
 */
import { dirname } from "node:path";
import { dataPaths, nodeBinary, programDirectory, runPaths, users } from "../layout.ts";
import { sandboxLines } from "./sandbox.ts";
import { socketUnit, unixSocket } from "./service-unit.ts";
import { loginUnit, startsLater } from "./start-order.ts";

/** Above the sum of all that the steps may wait for (services/probe/limits.ts). */
const LONGEST_RUN = "8min";

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function probeUnits(hide: readonly string[]): Record<string, string> {
  return {
    "homing-canary.socket": socketUnit(
      "canary",
      "Account service (canary)",
      `${unixSocket(runPaths.canarySocket, users.probe.name)}\nService=homing-auth.service`,
    ),
    "homing-probe.service": probeService(hide),
    "homing-probe.timer": probeTimer,
  };
}

/*
 * Behind everything else for the processor and the disk: what it measures is then what a client sees at the worst, and
 * nobody waits because of it. Exit code 1: the relay does not work.
 */
const probeService = (hide: readonly string[]) => `[Unit]
Description=See whether the relay works as a client does
Requires=homing-configure.service
After=homing-configure.service ${loginUnit}

[Service]
Type=oneshot
User=${users.probe.name}
SyslogIdentifier=%N
ExecStart=${nodeBinary} --max-semi-space-size=1 --v8-pool-size=1 ${programDirectory}/probe.mjs
${startsLater}
CPUWeight=20
Nice=10
IOSchedulingClass=idle
TimeoutStartSec=${LONGEST_RUN}
${sandboxLines({
  // The relay itself, by its own addresses as well, and the resolver.
  network: "world",
  memory: "25%",
  tasks: 32,
  write: [dataPaths.canary, dirname(runPaths.canaryVerdict), runPaths.metrics],
  hide: [...hide, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
})}
`;

/** Not before the relay is whole, and then a minute for those who come at once; then spread, for DNS servers serve many. */
const probeTimer = `[Unit]
Description=See every ten minutes whether the relay works
After=homing.target

[Timer]
OnActiveSec=1min
OnUnitInactiveSec=10min
AccuracySec=5s
RandomizedDelaySec=20s

[Install]
WantedBy=multi-user.target
`;
