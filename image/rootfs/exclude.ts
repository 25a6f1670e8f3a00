/**
 * What is left out of the root file system although a package brings it: pages for people, translations,
 * files for other init systems and package managers. Called by merge.ts; a pure function of the path.
 */
import { isForeignFirmware } from "./firmware-choice.ts";

/** Folders and files that nothing on the device reads, by the reason. */
const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  "pages for people: a relay has no reader": [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/doc-base",
    "usr/share/menu",
    "usr/share/icons",
  ],
  "translations: programs on the device speak English to the log": ["usr/share/locale"],
  "for interactive shells, debuggers and compilers, which nobody uses on the device": [
    "usr/share/bash-completion",
    "usr/share/zsh",
    "usr/share/fish",
    "usr/share/gdb",
    "usr/share/gcc",
  ],
  "for the package tools and bug reports of an installed Debian": [
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/apport",
    "usr/share/debconf",
    "usr/share/initramfs-tools",
    "usr/lib/apt",
    "var/lib/dpkg",
    "var/cache/debconf",
  ],
  "for Perl and polkit, which are not on the device": ["usr/share/perl5", "usr/share/polkit-1"],
  "names and quirks of hardware: systemd-hwdb makes a database of them, which the device does not have": [
    "usr/lib/udev/hwdb.d",
  ],
  "duplicates of the other time zones": ["usr/share/zoneinfo/posix", "usr/share/zoneinfo/right"],
  "for programs that are not on the device: init scripts, cron, ifupdown, AppArmor, dracut and others": [
    "etc/init.d",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/cron.weekly",
    "etc/cron.monthly",
    "etc/logrotate.d",
    "etc/ufw",
    "etc/apparmor.d",
    "etc/network",
    "etc/ifplugd",
    "etc/wpa_supplicant",
    "usr/lib/NetworkManager",
    "usr/lib/pm-utils",
    "etc/ppp",
    "etc/resolvconf",
    "etc/rsyslog.d",
    "etc/insserv.conf.d",
    "etc/sv",
    "etc/runit",
    "etc/kernel",
    "etc/initramfs",
    "etc/initramfs-tools",
    "usr/lib/dracut",
    "usr/lib/kernel",
  ],
  "of the kernel, from which image/rootfs/kernel.ts picks what a target needs": ["boot", "usr/lib/modules"],
  "wpa_supplicant on the D-Bus: nobody on the device asks for it there": [
    "usr/share/dbus-1/system-services/fi.w1.wpa_supplicant1.service",
    "usr/share/dbus-1/system.d/wpa_supplicant.conf",
  ],
  "a module of Dovecot for its mail filters, whose library is not there: every start would complain": [
    "usr/lib/dovecot/modules/settings/libpigeonhole_settings.so",
  ],
  "a second name of sendmail(1): Postfix compares the two at every start with a tool that is not there": [
    "usr/lib/sendmail",
  ],
};

const reasons = new Map(
  Object.entries(LEFT_OUT).flatMap(([reason, paths]) =>
    paths.map((path): [string, string] => [path, reason]),
  ),
);

/** Debian allows usr/share/doc to be absent (Policy §12.3), but who passes programs on passes their licences on. */
const LICENCE = /^usr\/share\/doc\/[^/]+(?:\/copyright)?$/;

/** Why the entry at `path` (relative to the root) stays out of the root file system; undefined when it does not. */
export function exclusionReason(path: string): string | undefined {
  if (LICENCE.test(path)) return undefined;
  if (isForeignFirmware(path)) return "firmware of radios that no Raspberry Pi has";
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    const reason = reasons.get(path.slice(0, end));
    if (reason !== undefined) return reason;
  }
  return undefined;
}
