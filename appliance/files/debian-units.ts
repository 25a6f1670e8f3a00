/**
 * What we change on units of Debian's packages, as drop-ins, and which units a relay does not want at all.
 * Put into the root file system by appliance/rootfs.ts.
 */
import { dataPaths, runPaths } from "../layout.ts";
import { limitLines } from "./memory-limits.ts";
import { commonLines, neverGiveUp, restartLines } from "./sandbox.ts";
import { loginUnit, startsFirst, startsLater, startsNext } from "./start-order.ts";

/** Drop-in text by unit name; it lands in /usr/lib/systemd/system/<unit>.d/homing.conf. */
export function dropIns(): Record<string, string> {
  return {
    "postfix.service": postfixDropIn,
    "dovecot.service": dovecotDropIn,
    "nftables.service": nftablesDropIn,
    ...limitDropIns,
    "systemd-networkd.service": networkdDropIn,
    "systemd-resolved.service": resolvedDropIn,
    "systemd-udev-trigger.service": udevTriggerDropIn,
    "systemd-udevd.service": udevDropIn,
    "systemd-logind.service": logindDropIn,
    "systemd-timesyncd.service": timesyncdDropIn,
    "ssh.service": sshDropIn,
  };
}

/*
 * Nothing is delivered by Postfix itself (no local(8), no pipes, no ~/.forward), so the freedoms that
 * Debian's unit keeps for those are taken away.
 */
const postfixDropIn = `[Unit]
Requires=homing-configure.service
Wants=homing-milter.socket homing-recipients.socket homing-door.socket
After=homing-configure.service homing-milter.socket homing-recipients.socket homing-door.socket ${loginUnit}
${neverGiveUp}

[Service]
${restartLines}
${startsNext}
# A process that memory ran out for is started again by master; the others go on (Debian's Dovecot has it so).
OOMPolicy=continue
# Strangers may take all processes of all ports. What is ended then is one conversation, which its sender begins again.
MemoryMax=40%
${mailServerLines({
  write: [dataPaths.postfix],
  hide: [dataPaths.relay, dataPaths.mail, dataPaths.accounts, dataPaths.metadata, dataPaths.ssh],
  capabilities: [
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
  ],
})}
`;

/*
 * The name it tells by multicast DNS. It takes that of the machine only with libidn2, which nothing else here needs; without
 * it, it falls back to this one (systemd's docs/ENVIRONMENT.md).
 */
const resolvedDropIn = `[Service]
Environment=SYSTEMD_DEFAULT_HOSTNAME=homing
${limitLines("login", "96M")}
`;

const dovecotDropIn = `[Unit]
Requires=homing-configure.service
Wants=homing-auth.socket homing-metadata.socket
After=homing-configure.service homing-auth.socket homing-metadata.socket
${neverGiveUp}

[Service]
${restartLines}
${startsFirst}
# Room for all its processes; it may not raise the limit itself.
LimitNPROC=16384
# More than what its idle connections may have (capacity.ts): above it one of its processes is ended. Nothing slows it down
# before (MemoryHigh=): that would only make it hold on for longer.
MemoryMax=40%
${mailServerLines({
  write: [dataPaths.mail, "-/var/lib/dovecot", "/run"],
  hide: [
    ...[dataPaths.relay, dataPaths.postfix, dataPaths.accounts, dataPaths.metadata, dataPaths.ssh],
    ...[runPaths.dkimKey, runPaths.dkimNextKey],
  ],
  capabilities: [
    ...[
      "CAP_CHOWN",
      "CAP_DAC_OVERRIDE",
      "CAP_FOWNER",
      "CAP_KILL",
      "CAP_NET_BIND_SERVICE",
      "CAP_SETGID",
      "CAP_SETUID",
    ],
    "CAP_SYS_CHROOT",
  ],
})}
`;

/**
 * A mail server's master starts as root and gives each of its processes a user, so it needs capabilities, and the
 * calls that change users; everything else is as for our own services.
 */
function mailServerLines(
  permissions: Readonly<{
    write: readonly string[];
    hide: readonly string[];
    capabilities: readonly string[];
  }>,
): string {
  return [
    ...commonLines,
    // Debian's units may name more: the first line forgets those.
    "CapabilityBoundingSet=",
    `CapabilityBoundingSet=${permissions.capabilities.join(" ")}`,
    "RestrictAddressFamilies=",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "MemoryDenyWriteExecute=yes",
    "ProcSubset=pid",
    "SystemCallFilter=",
    "SystemCallFilter=@system-service @setuid chroot",
    "SystemCallErrorNumber=EPERM",
    `ReadWritePaths=${permissions.write.join(" ")}`,
    `InaccessiblePaths=-/boot ${permissions.hide.map((path) => `-${path}`).join(" ")}`,
  ].join("\n");
}

/*
 * The firewall stands before the network does: the closed rule set of the root file system, so that neither waits for the
 * settings. Those come in as soon as they are known (firewall-unit.ts).
 */
const nftablesDropIn = `[Service]
${startsFirst}
`;

/** No firewall, no network. */
const networkdDropIn = `[Unit]
Requires=nftables.service
After=nftables.service

[Service]
${startsFirst}
${limitLines("login", "64M")}
`;

/*
 * Nobody can log in before the network card has its driver and its name, and udev looks at everything else in the machine as
 * well. Of a virtual machine the card hangs on virtio, whose devices come first here; the others as Debian has them.
 */
const udevDropIn = `[Service]
${startsFirst}
`;
const udevTriggerDropIn = `[Service]
${startsFirst}
ExecStart=
ExecStart=-udevadm trigger --type=all --action=add --prioritized-subsystem=virtio,module,block,tpmrm,net,tty,input
`;

/** For the power button, and for the sessions of SSH: neither is what somebody waits for who has just switched it on. */
const logindDropIn = `[Unit]
After=${loginUnit}

[Service]
${startsLater}
${limitLines("login", "64M")}
`;

/**
 * What the system itself needs is a few megabytes each; none of it may grow at the relay's cost. The log's is what it may
 * keep in memory (system.ts) and as much again. Of those who log in by SSH, what they start counts.
 */
const limitDropIns: Readonly<Record<string, string>> = {
  "dbus.service": `[Service]\n${limitLines("login", "64M")}\n`,
  "systemd-journald.service": `[Service]\n${limitLines("login", "96M")}\n`,
  "user.slice": "[Slice]\nMemoryMax=40%\n",
};

/** The time of the last synchronisation survives a power cut: a Raspberry Pi has no clock of its own. */
const timesyncdDropIn = `[Unit]
RequiresMountsFor=${dataPaths.clock}
After=systemd-tmpfiles-setup.service

[Service]
BindPaths=${dataPaths.clock}:/var/lib/systemd/timesync
${limitLines("login", "64M")}
`;

/** Only where relay.toml names a key (appliance/files/ssh.ts). */
const sshDropIn = `[Unit]
After=homing-configure.service
Requires=homing-configure.service
ConditionPathExists=/etc/ssh/authorized_keys
${neverGiveUp}

[Service]
${restartLines}
RestartPreventExitStatus=
# It keeps itself from being ended, and what is started by it must not be kept.
MemoryMax=40%
TasksMax=512
`;

/**
 * Masked: nobody can log in on a console (there is no password), nothing is installed or checked on a
 * read-only system, and the caches these would build are built with the image or never read.
 */
export const maskedUnits = [
  "getty.target",
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  // homing-turn.service instead.
  "coturn.service",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
  "ldconfig.service",
  "systemd-firstboot.service",
  "systemd-hwdb-update.service",
  "systemd-journal-catalog-update.service",
  "systemd-machine-id-commit.service",
  "systemd-networkd-wait-online.service",
  "systemd-update-done.service",
  "postfix-resolvconf.path",
  "postfix-resolvconf.service",
  "sshd-keygen.service",
  "ssh.socket",
] as const;

/**
 * Generators switched off: they would open SSH on sockets of the hypervisor, mount partitions by their
 * type, and put login prompts on every console.
 */
export const maskedGenerators = [
  "systemd-ssh-generator",
  "systemd-gpt-auto-generator",
  "systemd-getty-generator",
] as const;
