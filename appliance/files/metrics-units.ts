/** The units of services/metrics and of the scripts that count beside it (metrics-figures.ts). Listed in units.ts. */
import { dirname } from "node:path";
import { dataPaths, metricsListen, nodeBinary, programDirectory, runPaths, users } from "../layout.ts";
import { queueFiguresScript, storeFiguresScript } from "./metrics-figures.ts";
import { neverGiveUp, sandboxLines } from "./sandbox.ts";
import { startsLater } from "./start-order.ts";

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function metricsUnits(hide: readonly string[]): Record<string, string> {
  return {
    "homing-metrics.socket": socket,
    "homing-metrics-network.socket": networkSocket,
    "homing-metrics.service": service(hide),
    "homing-queue-figures.service": figuresService({
      what: "Count the messages in the queue",
      user: "postfix",
      script: queueFiguresScript.path,
      write: dirname(runPaths.queueFigures),
      hide: [...hide, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
    }),
    "homing-queue-figures.timer": figuresTimer(
      "Count the messages in the queue from time to time",
      "1min",
      "1min",
    ),
    "homing-store-figures.service": figuresService({
      what: "Count the messages in the mailboxes",
      user: users.vmail.name,
      script: storeFiguresScript.path,
      write: runPaths.metrics,
      hide: [...hide, dataPaths.accounts, dataPaths.postfix, dataPaths.metadata],
    }),
    // A card is read through for it.
    "homing-store-figures.timer": figuresTimer(
      "Count the messages in the mailboxes from time to time",
      "10min",
      "6h",
    ),
  };
}

/** Two sockets of one port: the kernel gives a connection to the more exact address. */
const socketLines = (name: string, address: string) => `ListenStream=${address}:${metricsListen.port}
ReusePort=yes
Backlog=16
Service=homing-metrics.service
FileDescriptorName=${name}`;

const socket = `[Unit]
Description=Figures for Prometheus (socket)

[Socket]
${socketLines("metrics", metricsListen.host)}

[Install]
WantedBy=homing.target
`;

/** Who may come in by it is the firewall's matter (nftables.ts). Sockets usually come before all services. */
const networkSocket = `[Unit]
Description=Figures for Prometheus on the private network (socket)
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
Requires=homing-configure.service
After=homing-configure.service
ConditionPathExists=${runPaths.metricsNetwork}

[Socket]
${socketLines("metrics-network", "[::]")}

[Install]
WantedBy=homing.target
`;

/** It ends by itself when nobody asks (services/metrics/service.ts). */
const service = (hide: readonly string[]) => `[Unit]
Description=Figures for Prometheus
Requires=homing-configure.service homing-metrics.socket
After=homing-configure.service homing-metrics.socket
${neverGiveUp}

[Service]
Type=exec
User=${users.metrics.name}
Sockets=homing-metrics.socket homing-metrics-network.socket
SyslogIdentifier=%N
Environment=MALLOC_ARENA_MAX=2
ExecStart=${nodeBinary} --max-semi-space-size=1 --v8-pool-size=1 ${programDirectory}/metrics.mjs
Restart=on-failure
RestartSec=1s
${startsLater}
${sandboxLines({
  network: "none",
  memory: "20%",
  tasks: 32,
  // Load, memory and pressure.
  allOfProc: true,
  hide: [
    ...hide.filter((path) => path !== dataPaths.tls),
    ...[dataPaths.accounts, dataPaths.mail, dataPaths.metadata, dataPaths.postfix, dataPaths.certificates],
    ...[dataPaths.door, dataPaths.dkim],
  ],
})}
`;

const figuresService = (
  unit: Readonly<{ what: string; user: string; script: string; write: string; hide: readonly string[] }>,
) => `[Unit]
Description=${unit.what}
After=homing-configure.service

[Service]
Type=oneshot
User=${unit.user}
ExecStart=${unit.script}
SyslogIdentifier=%N
# Not that systemd ran it once more; only what it says.
SyslogLevel=notice
LogLevelMax=notice
Nice=19
IOSchedulingClass=idle
CPUWeight=idle
TimeoutStartSec=30min
${sandboxLines({ network: "none", memory: "20%", write: [unit.write], hide: unit.hide })}
`;

const figuresTimer = (what: string, first: string, every: string) => `[Unit]
Description=${what}

[Timer]
OnActiveSec=${first}
OnUnitInactiveSec=${every}
AccuracySec=5s

[Install]
WantedBy=homing.target
`;
