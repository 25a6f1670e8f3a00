/**
 * Which Debian packages an image is made of, and why. What they depend on comes along by itself
 * (image/packages/resolve.ts), except for what is listed here as left out. Called by `./homing lock`.
 */
import type { Architecture } from "../spec.ts";
import type { PackageUse } from "./lock.ts";
import type { Suite } from "./release.ts";

/** Where packages come from: Debian 13 with its updates and security fixes. */
export const suites: readonly Suite[] = [
  { archive: "debian", codename: "trixie", components: ["main", "non-free-firmware"] },
  { archive: "debian", codename: "trixie-updates", components: ["main", "non-free-firmware"] },
  { archive: "security", codename: "trixie-security", components: ["main", "non-free-firmware"] },
  { archive: "debian", codename: "trixie-backports", components: ["main", "non-free-firmware"] },
];

/** Newer than the release: used only for packages that ask for it, and for what these need and only it has. */
export const backports = "trixie-backports";

export type SelectedPackage = Readonly<{
  name: string;
  reason: string;
  /** "rootfs" unless given. Dependencies are only followed for the root file system. */
  use?: PackageUse;
  backports?: true;
}>;

export type PackageSelection = Readonly<{
  packages: readonly SelectedPackage[];
  /** Dependencies that are deliberately not followed, each with its reason. */
  leftOut: Readonly<Record<string, string>>;
  /** Which package stands in where only something that several packages provide is asked for. */
  preferred: Readonly<Record<string, string>>;
}>;

/** No package list starts with Debian's essential packages: nothing depends on them, so they are named. */
const common: readonly SelectedPackage[] = [
  { name: "base-files", reason: "the directories and /etc/os-release" },
  { name: "base-passwd", reason: "the fixed users and groups" },
  { name: "bash", reason: "the shell behind an administrator's SSH login" },
  { name: "bsdutils", reason: "logger" },
  { name: "coreutils", reason: "the basic commands of every script" },
  { name: "dash", reason: "/bin/sh" },
  { name: "debianutils", reason: "which, run-parts" },
  { name: "findutils", reason: "find, xargs" },
  { name: "grep", reason: "grep" },
  { name: "gzip", reason: "reading compressed logs and backups" },
  { name: "hostname", reason: "hostname" },
  { name: "libc-bin", reason: "getent, ldd and the C.UTF-8 locale" },
  { name: "login", reason: "login on the console" },
  { name: "login.defs", reason: "the defaults of login" },
  { name: "mount", reason: "mount, umount" },
  { name: "ncurses-base", reason: "what terminals can do, for SSH sessions" },
  { name: "passwd", reason: "nologin and the shadow tools" },
  { name: "procps", reason: "ps, free, sysctl" },
  { name: "sed", reason: "sed" },
  { name: "tar", reason: "backups" },
  { name: "util-linux", reason: "agetty, lsblk, fstrim" },
  { name: "systemd", reason: "starts and supervises everything" },
  { name: "systemd-sysv", reason: "/sbin/init, reboot, poweroff" },
  { name: "systemd-resolved", reason: "the DNS resolver and its cache; it does not check DNSSEC" },
  { name: "systemd-timesyncd", reason: "the clock" },
  { name: "udev", reason: "devices and kernel modules" },
  { name: "kmod", reason: "modprobe" },
  { name: "dbus", reason: "the bus between systemd's parts" },
  { name: "libpam-systemd", reason: "SSH sessions as systemd sessions" },
  { name: "iproute2", reason: "ip, ss" },
  { name: "nftables", reason: "the firewall" },
  { name: "netbase", reason: "/etc/services and /etc/protocols" },
  { name: "ca-certificates", reason: "whom to trust when other relays and push servers are called" },
  { name: "openssl", reason: "looking at certificates" },
  { name: "tzdata", reason: "time zones" },
  { name: "e2fsprogs", reason: "makes, checks and grows the data partition" },
  { name: "fdisk", reason: "sfdisk, which adds the data partition" },
  { name: "openssh-server", reason: "an administrator's access, when a key was given" },
  { name: "openssh-client", reason: "ssh-keygen for the host keys" },
  { name: "postfix", reason: "SMTP" },
  { name: "postfix-lmdb", reason: "Postfix's caches of TLS sessions and address checks" },
  { name: "dovecot-core", reason: "SASL and the base of the mail store" },
  { name: "dovecot-imapd", reason: "IMAP" },
  { name: "dovecot-lmtpd", reason: "delivery into the mail store" },
  { name: "dovecot-auth-lua", reason: "asks the account service at login" },
  { name: "coturn", reason: "calls between phones that cannot reach each other, when the settings want it" },
  { name: "libstdc++6", reason: "the Node runtime is linked to it" },
];

const perArchitecture: Readonly<Record<Architecture, readonly SelectedPackage[]>> = {
  amd64: [
    // Debian's smaller kernel for clouds lacks the network cards that VirtualBox and VMware offer first.
    { name: "linux-image-amd64", reason: "the kernel for virtual machines" },
    { name: "systemd-boot-efi", reason: "the UEFI boot loader", use: "boot" },
    { name: "syslinux", reason: "the boot loader for a BIOS", use: "boot" },
    { name: "syslinux-common", reason: "the boot code of the disk that starts it", use: "boot" },
    { name: "busybox-static", reason: "the tools of the initramfs", use: "initramfs" },
  ],
  arm64: [
    // The kernel of Debian 13 itself cannot reach the SD card and the network of a Raspberry Pi 5.
    { name: "linux-image-arm64", reason: "the kernel for Raspberry Pis", backports: true },
    { name: "wpasupplicant", reason: "joins a Wi-Fi network" },
    { name: "firmware-brcm80211", reason: "what the radio of a Raspberry Pi runs" },
    { name: "wireless-regdb", reason: "what each country allows a radio" },
    { name: "raspi-firmware", reason: "the first stage of booting a Raspberry Pi", use: "boot" },
    { name: "systemd-boot-efi", reason: "the UEFI boot loader, for other arm64 machines", use: "boot" },
    { name: "busybox-static", reason: "the tools of the initramfs", use: "initramfs" },
  ],
};

/** Most of these serve the installing and configuring of packages on the running system, which never happens. */
const leftOut: Readonly<Record<string, string>> = {
  adduser: "users come from the image (written in Perl)",
  debconf: "asks questions while installing (written in Perl)",
  dpkg: "nothing is installed on the device",
  "dovecot-sieve": "no mail filters; Debian asks for it only for the sake of upgrades",
  "init-system-helpers": "enables units while installing (written in Perl)",
  "initramfs-tools": "the initramfs is the image's own",
  "linux-base": "helps installing kernels (written in Perl)",
  "lsb-base": "for init scripts, which systemd does not run",
  "mariadb-common": "of a database client that the TURN server is linked to and never uses",
  "perl-base": "no Perl on the device: a large thing that only maintainer scripts need",
  perl: "as perl-base",
  "runit-helper": "for another init system",
  "sensible-utils": "picks an editor",
  sqlite3: "for looking at the TURN server's accounts by hand; there are none",
  "ssl-cert": "makes a certificate while installing; the relay has its own",
  "sysvinit-utils": "for init scripts, which systemd does not run",
  telnet: "for the TURN server's command line, which is off",
  ucf: "merges configuration files while installing",
};

const preferred: Readonly<Record<string, string>> = {
  awk: "mawk",
};

/** The packages of an architecture's images. */
export function packagesFor(architecture: Architecture): PackageSelection {
  return { packages: [...common, ...perArchitecture[architecture]], leftOut, preferred };
}
