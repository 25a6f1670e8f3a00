/**
 * The sandbox lines that units share, ours and Debian's (systemd.exec(5)), and how a failed one is restarted.
 * Judged by `systemd-analyze security` (test/relay/device.test.ts).
 */

import { limitLines, type MemoryRank } from "./memory-limits.ts";

/** What a service may do in spite of the sandbox. Nothing, unless said. */
type Permissions = Readonly<{
  /** Directories it may write, beside its own temporary ones. */
  write?: readonly string[];
  /** Directories whose content it must not even see. */
  hide?: readonly string[];
  /**
   * "none": no network at all, sockets from systemd excepted. "loopback": the resolver and the like.
   * "host": sees the interfaces, but cannot use them. "world": may ask servers anywhere.
   */
  network: "none" | "loopback" | "host" | "world";
  /** Linux capabilities; none unless given. */
  capabilities?: readonly string[];
  /** Services that read load and memory need the rest of /proc as well. */
  allOfProc?: boolean;
  /** What goes first when memory runs out: "errand" unless given (memory-limits.ts). */
  rank?: MemoryRank;
  /** A size or a percentage of the machine's memory, at which it is ended. */
  memory?: string;
  /** Processes and threads. */
  tasks?: number;
  /** Own users look like `nobody` inside a user namespace of its own: off where files of others are handed out. */
  privateUsers?: boolean;
}>;

/** Sockets that systemd hands over are already made; "none" makes no other than to the log. */
const addressFamilies = {
  none: "AF_UNIX",
  loopback: "AF_UNIX AF_INET AF_INET6",
  host: "AF_UNIX AF_NETLINK",
  world: "AF_UNIX AF_INET AF_INET6",
} as const;

/** What no program on a relay needs, ours or Debian's: lines for a [Service] section. */
export const commonLines = [
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "ProtectHome=yes",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "ProtectClock=yes",
  "ProtectControlGroups=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "LockPersonality=yes",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "KeyringMode=private",
  "SystemCallArchitectures=native",
] as const;

/**
 * Lines for a [Service] section. `MemoryDenyWriteExecute` is missing on purpose: V8 compiles at run time.
 */
export function sandboxLines(permissions: Permissions): string {
  const lines = [
    limitLines(permissions.rank ?? "errand", permissions.memory, permissions.tasks),
    `CapabilityBoundingSet=${(permissions.capabilities ?? []).join(" ")}`,
    "AmbientCapabilities=",
    "UMask=0077",
    "PrivateIPC=yes",
    `PrivateUsers=${(permissions.privateUsers ?? true) ? "yes" : "no"}`,
    `PrivateNetwork=${permissions.network === "none" ? "yes" : "no"}`,
    ...(permissions.network === "world" ? [] : ["IPAddressDeny=any"]),
    ...(permissions.network === "loopback" ? ["IPAddressAllow=localhost"] : []),
    `RestrictAddressFamilies=${addressFamilies[permissions.network]}`,
    "ProtectProc=invisible",
    `ProcSubset=${permissions.allOfProc ? "all" : "pid"}`,
    ...commonLines,
    "RemoveIPC=yes",
    "SystemCallFilter=@system-service",
    // Files given to other users need chown, and only a service with that capability gets the call.
    `SystemCallFilter=~@resources ${permissions.capabilities?.includes("CAP_CHOWN") ? "" : "@privileged"}`.trim(),
    "SystemCallErrorNumber=EPERM",
    ...(permissions.write?.length ? [`ReadWritePaths=${permissions.write.join(" ")}`] : []),
    ...(permissions.hide?.length
      ? [`InaccessiblePaths=${permissions.hide.map((path) => `-${path}`).join(" ")}`]
      : []),
  ];
  return lines.join("\n");
}

/**
 * Restart whatever the reason, at once at first, then ever more slowly up to half a minute, and never give
 * up: nobody is there who would start the service again. For a [Service] section.
 */
export const restartLines = [
  "Restart=always",
  "RestartSec=100ms",
  "RestartSteps=8",
  "RestartMaxDelaySec=30s",
].join("\n");

/** For the [Unit] section of what has `restartLines`: no limit on the number of starts. */
export const neverGiveUp = "StartLimitIntervalSec=0";
