/**
 * The units of our own programs: configuration at boot, the services with their sockets, and the target
 * that stands for "this relay works". Put into the root file system by appliance/rootfs.ts.
 */
import {
  authListen,
  bootDirectory,
  bootRelayDirectory,
  dataDirectory,
  dataPaths,
  nodeBinary,
  ports,
  programDirectory,
  runDirectory,
  runPaths,
  transportFallbackListen,
  users,
} from "../layout.ts";
import { certificateUnits } from "./certificates.ts";
import { neverGiveUp, restartLines, sandboxLines } from "./sandbox.ts";
import { statusService, statusTimer } from "./status.ts";

/** Every service that must be active before a relay may call itself ready. */
export const relayUnits = [
  "homing-configure.service",
  "nftables.service",
  "homing-auth.service",
  "homing-metadata.service",
  "homing-milter.service",
  "homing-web.service",
  "homing-transport.service",
  "homing-mux.service",
  "dovecot.service",
  "postfix.service",
] as const;

const secretDirectories = [bootDirectory, dataPaths.relay, dataPaths.tls, dataPaths.ssh] as const;

/**
 * What the milter holds lives as long as a message. Left to themselves, V8 and the C library let what is done with
 * pile up to twice the memory, at no gain in time (test/bench/filter.ts). So: 1 MiB for each half of V8's space for
 * young objects and one helper thread; what is as large as one read from a socket goes back to the system at once
 * (mallopt(3)).
 */
export const milterNode: NodeSettings = {
  flags: ["--max-semi-space-size=1", "--v8-pool-size=1"],
  environment: { MALLOC_ARENA_MAX: "2", MALLOC_MMAP_THRESHOLD_: "65536" },
};

/** What a request leaves behind is small and short-lived: young objects need little room. */
export const webNode: NodeSettings = {
  flags: ["--max-semi-space-size=1", "--v8-pool-size=1"],
  environment: { MALLOC_ARENA_MAX: "2" },
};

type NodeSettings = Readonly<{
  flags: readonly string[];
  environment: Readonly<Record<string, string>>;
}>;

/** Unit file text by unit name. */
export function homingUnits(): Record<string, string> {
  return {
    "homing-configure.service": configureService,
    "homing-auth.socket": socketUnit(
      "auth",
      "Account service",
      `ListenStream=${authListen.host}:${authListen.port}`,
    ),
    "homing-recipients.socket": socketUnit(
      "recipients",
      "Account service (recipients)",
      `${unixSocket(runPaths.recipientSocket, "postfix")}\nService=homing-auth.service`,
    ),
    "homing-sign-up.socket": socketUnit(
      "sign-up",
      "Account service (sign-up)",
      `${unixSocket(runPaths.signUpSocket, users.web.name)}\nService=homing-auth.service`,
    ),
    // Whoever reaches this one decides who gets an account: root alone.
    "homing-control.socket": socketUnit(
      "control",
      "Account service (control)",
      `ListenStream=${runPaths.controlSocket}\nSocketMode=0600\nService=homing-auth.service`,
    ),
    "homing-auth.service": serviceUnit("auth", "Account service", users.auth.name, {
      sockets: [
        "homing-auth.socket",
        "homing-recipients.socket",
        "homing-sign-up.socket",
        "homing-control.socket",
      ],
      network: "none",
      write: [dataPaths.accounts],
      // Free memory and load decide on new accounts.
      allOfProc: true,
      hide: secretDirectories,
    }),
    "homing-metadata.socket": socketUnit(
      "metadata",
      "IMAP metadata service",
      unixSocket(runPaths.metadataSocket, users.vmail.name),
    ),
    "homing-metadata.service": serviceUnit("metadata", "IMAP metadata service", users.metadata.name, {
      network: "none",
      write: [dataPaths.metadata],
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail],
    }),
    "homing-milter.socket": socketUnit("milter", "Mail policy", unixSocket(runPaths.milterSocket, "postfix")),
    "homing-milter.service": serviceUnit("milter", "Mail policy", users.milter.name, {
      // DKIM keys of others come from the DNS, by way of the local resolver.
      network: "loopback",
      write: [runPaths.milterState],
      node: milterNode,
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail],
    }),
    "homing-http.socket": socketUnit(
      "http",
      "Web service, port 80",
      `ListenStream=${ports.http}\nService=homing-web.service`,
    ),
    "homing-web.socket": socketUnit("web", "Web service", unixSocket(runPaths.webSocket, users.mux.name)),
    "homing-web.service": serviceUnit("web", "Web service", users.web.name, {
      sockets: ["homing-http.socket", "homing-web.socket"],
      // Mail that comes by HTTPS goes on to Postfix.
      network: "loopback",
      write: [runPaths.webState, runPaths.metrics],
      credentials: { "tls-key": runPaths.tlsKey },
      node: webNode,
      hide: [
        ...secretDirectories.filter((path) => path !== dataPaths.tls),
        dataPaths.accounts,
        dataPaths.mail,
        dataPaths.metadata,
      ],
    }),
    "homing-transport.socket": socketUnit(
      "transport",
      "Delivery to other relays",
      unixSocket(runPaths.transportSocket, "postfix"),
    ),
    "homing-transport-fallback.socket": socketUnit(
      "transport-fallback",
      "Delivery to other relays, when SMTP failed",
      `ListenStream=${transportFallbackListen.host}:${transportFallbackListen.port}\nService=homing-transport.service`,
    ),
    "homing-transport.service": serviceUnit("transport", "Delivery to other relays", users.transport.name, {
      sockets: ["homing-transport.socket", "homing-transport-fallback.socket"],
      network: "world",
      write: [runPaths.metrics],
      node: webNode,
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
    }),
    "homing-mux.socket": socketUnit(
      "mux",
      "Port 443",
      // Clients of all kinds at once, who come back together when a network does.
      `ListenStream=${ports.https}\nBacklog=4096`,
    ),
    "homing-mux.service": serviceUnit("mux", "Port 443", users.mux.name, {
      network: "loopback",
      write: [runPaths.metrics],
      node: webNode,
      openFiles: 40_000,
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
    }),
    "homing-dkim.service": dkimService,
    "homing-dkim.timer": dkimTimer,
    ...certificateUnits(secretDirectories),
    "homing.target": homingTarget,
    "homing-status.service": statusService,
    "homing-status.timer": statusTimer,
  };
}

/**
 * The initramfs has mounted the boot partition read-only. This changes the mount, and only a FAT's: in a container the folder belongs to the host, whose
 * whole file system would be changed.
 */
export const bootPartitionScript = {
  path: `${programDirectory}/boot-partition`,
  mode: 0o755,
  content: `#!/bin/sh
# boot-partition writable|read-only: called by homing-configure.service.
# systemd gives even a privileged command of a sandboxed unit mounts of its own, and "read-only" is a property
# of each: so it is changed where all see it, in the mounts of process 1.
set -eu
findmnt --noheadings --types vfat ${bootDirectory} >/dev/null || exit 0
case "$1" in
  writable) [ ! -e ${bootRelayDirectory} ] || nsenter --target 1 --mount mount -o remount,rw ${bootDirectory} ;;
  read-only) nsenter --target 1 --mount mount -o remount,ro ${bootDirectory} ;;
esac
`,
} as const;

/*
 * Ordered before everything that speaks to the network: the firewall, the services and the mail servers
 * start with the configuration it writes. Mail requires its success; the network does not, so that a
 * relay with broken settings still gets its closed firewall and says on the console what is wrong.
 */
const configureService = `[Unit]
Description=Import the relay and write its configuration
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target systemd-tmpfiles-setup.service
Before=network-pre.target nftables.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
# The boot partition becomes writable only while there is something to import and wipe on it.
ExecStartPre=+${bootPartitionScript.path} writable
ExecStart=${nodeBinary} ${programDirectory}/boot.mjs
ExecStopPost=+${bootPartitionScript.path} read-only
ExecStartPost=+${bootPartitionScript.path} read-only
SyslogIdentifier=%N
StandardOutput=journal+console
StandardError=journal+console
TimeoutStartSec=5min
${sandboxLines({
  network: "none",
  write: ["/etc", runDirectory, dataDirectory, `-${bootDirectory}`],
  capabilities: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"],
  privateUsers: false,
})}
`;

function unixSocket(path: string, group: string): string {
  return `ListenStream=${path}\nSocketGroup=${group}\nSocketMode=0660`;
}

function socketUnit(name: string, title: string, listen: string): string {
  return `[Unit]
Description=${title} (socket)

[Socket]
Backlog=512
${listen}
FileDescriptorName=${name}

[Install]
WantedBy=homing.target
`;
}

function serviceUnit(
  name: string,
  title: string,
  user: string,
  {
    sockets = [`homing-${name}.socket`],
    node = { flags: [], environment: {} },
    credentials = {},
    openFiles = 16_384,
    ...permissions
  }: Parameters<typeof sandboxLines>[0] & {
    sockets?: readonly string[];
    node?: NodeSettings;
    /** Files of root that it gets a copy of, by the name in $CREDENTIALS_DIRECTORY (systemd.exec(5)). */
    credentials?: Readonly<Record<string, string>>;
    openFiles?: number;
  },
): string {
  return `[Unit]
Description=${title}
Requires=homing-configure.service ${sockets.join(" ")}
After=homing-configure.service ${sockets.join(" ")}
${neverGiveUp}

[Service]
Type=exec
User=${user}
Sockets=${sockets.join(" ")}
SyslogIdentifier=%N
${environmentLines(node.environment)}${credentialLines(credentials)}ExecStart=${[nodeBinary, ...node.flags].join(" ")} ${programDirectory}/${name}.mjs
${restartLines}
# Memory grows with load, never without end: rather one service restarted than the machine out of memory.
MemoryMax=40%
TasksMax=64
LimitNOFILE=${openFiles}
${sandboxLines(permissions)}
`;
}

/** Only while there is a key that waits for its turn. */
const dkimService = `[Unit]
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
  hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
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

function environmentLines(environment: NodeSettings["environment"]): string {
  return Object.entries(environment)
    .map(([name, value]) => `Environment=${name}=${value}\n`)
    .join("");
}

function credentialLines(credentials: Readonly<Record<string, string>>): string {
  return Object.entries(credentials)
    .map(([name, path]) => `LoadCredential=${name}:${path}\n`)
    .join("");
}

const homingTarget = `[Unit]
Description=Chatmail relay
Wants=${relayUnits.join(" ")} systemd-networkd.service systemd-resolved.service
After=${relayUnits.join(" ")} systemd-networkd.service systemd-resolved.service

[Install]
WantedBy=multi-user.target
`;
