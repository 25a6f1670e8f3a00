/**
 * What is left out of the root file system although a package brings it: pages for people, translations,
 * files for other init systems and package managers. Called by merge.ts; a pure function of the path.
 */

/** Folders and files that nothing on the device reads. */
const UNUSED = [
  "usr/share/doc",
  "usr/share/man",
  "usr/share/info",
  "usr/share/locale",
  "usr/share/lintian",
  "usr/share/bug",
  "usr/share/doc-base",
  "usr/share/bash-completion",
  "usr/share/zsh",
  "usr/share/fish",
  "usr/share/menu",
  "usr/share/icons",
  "usr/share/apport",
  "usr/share/gdb",
  "usr/share/debconf",
  "usr/share/initramfs-tools",
  "usr/share/perl5",
  "usr/share/polkit-1",
  "usr/share/gcc",
  // Interactive databases of other time zones stay; these two are duplicates of them.
  "usr/share/zoneinfo/posix",
  "usr/share/zoneinfo/right",
  // Hooks of dpkg, initramfs-tools, cron and System V init; none of them exists on the device.
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
  "usr/lib/apt",
  // The kernel, its modules and its device trees are picked out by kernel.ts.
  "boot",
  "usr/lib/modules",
  // A module of Dovecot for its mail filters, whose library is not there: every start would complain.
  "usr/lib/dovecot/modules/settings/libpigeonhole_settings.so",
  // A second name of sendmail(1); Postfix compares the two at every start with a tool that is not there.
  "usr/lib/sendmail",
  "var/lib/dpkg",
  "var/cache/debconf",
] as const;

const unused = new Set<string>(UNUSED);

/** Debian allows usr/share/doc to be absent (Policy §12.3), but who passes programs on passes their licences on. */
const LICENCE = /^usr\/share\/doc\/[^/]+(?:\/copyright)?$/;

/** Whether the entry at `path` (relative to the root) stays out of the root file system. */
export function isExcluded(path: string): boolean {
  if (LICENCE.test(path)) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (unused.has(path.slice(0, end))) return true;
  }
  return false;
}
