/**
 * The unit that makes a relay of the machine at every boot (appliance/life/boot.ts), and the script that it changes the
 * boot partition's mount with. Listed in units.ts.
 */
import {
  bootDirectory,
  bootRelayDirectory,
  dataDirectory,
  nodeBinary,
  programDirectory,
  runDirectory,
} from "../layout.ts";
import { sandboxLines } from "./sandbox.ts";
import { startsFirst } from "./start-order.ts";

/** There as long as the boot partition may be writable. */
const bootWritableMark = `${runDirectory}/boot-writable`;

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
case "$1" in
  writable)
    [ -e ${bootRelayDirectory} ] && findmnt --noheadings --types vfat ${bootDirectory} >/dev/null || exit 0
    # Before it is, so that no failure leaves it so.
    : >${bootWritableMark}
    nsenter --target 1 --mount mount -o remount,rw ${bootDirectory}
    ;;
  read-only)
    # Programs that every start would wait for.
    [ -e ${bootWritableMark} ] || exit 0
    nsenter --target 1 --mount mount -o remount,ro ${bootDirectory}
    rm ${bootWritableMark}
    ;;
esac
`,
} as const;

/*
 * The services and the mail servers start with the configuration it writes, and mail requires its success. The network
 * does not wait for it: a relay with broken settings is behind the closed firewall, and says on the console what is wrong.
 */
export const configureService = `[Unit]
Description=Import the relay and write its configuration
DefaultDependencies=no
After=local-fs.target systemd-tmpfiles-setup.service
Before=shutdown.target
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
${startsFirst}
${sandboxLines({
  network: "none",
  rank: "login",
  write: ["/etc", runDirectory, dataDirectory, `-${bootDirectory}`],
  capabilities: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"],
  privateUsers: false,
})}
`;
