/**
 * The parts of the system that are the same on every relay: network, names, time, log, kernel settings,
 * directories. Put into the root file system by appliance/rootfs.ts; nothing here depends on relay.toml.
 */
import { dirname } from "node:path";
import { dataPaths, runDirectory, runPaths, users } from "../layout.ts";
import { radioIsOff, wifiRules } from "./wifi.ts";

/** File text by absolute path. */
export function systemFiles(): Record<string, string> {
  return {
    "/etc/hostname": "homing\n",
    "/etc/hosts": hosts,
    "/etc/issue": "",
    // pam_env asks for it at every SSH login.
    "/etc/environment": "",
    "/usr/lib/systemd/network/10-homing.network": network("ether", ethernetMetric),
    "/usr/lib/systemd/network/20-homing-wifi.network": network("wlan", wifiMetric),
    "/usr/lib/udev/rules.d/80-homing-wifi.rules": wifiRules,
    "/usr/lib/modprobe.d/homing.conf": radioIsOff,
    "/usr/lib/systemd/resolved.conf.d/homing.conf": resolved,
    "/usr/lib/systemd/timesyncd.conf.d/homing.conf": timesyncd,
    "/usr/lib/systemd/journald.conf.d/homing.conf": journald,
    "/usr/lib/sysctl.d/60-homing.conf": sysctl,
    "/usr/lib/tmpfiles.d/homing.conf": tmpfiles,
  };
}

const hosts = `127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
127.0.1.1 homing
`;

/** systemd's default; with both in one network, what goes out takes the cable. */
const ethernetMetric = 1024;
const wifiMetric = 2048;

/*
 * Every wired or wireless card: addresses by DHCP and router advertisements. The IPv6 address is made from
 * the card's address and stays the same (RFC 4291 Appendix A), since a DNS record points to it.
 */
const network = (type: "ether" | "wlan", metric: number) => `[Match]
Type=${type}

[Network]
DHCP=yes
IPv6AcceptRA=yes
IPv6PrivacyExtensions=no
IPv6LinkLocalAddressGenerationMode=eui64
LLMNR=no
MulticastDNS=yes

[DHCPv4]
ClientIdentifier=mac
RouteMetric=${metric}
UseDomains=no
UseHostname=no

[DHCPv6]
UseDomains=no
UseHostname=no

[IPv6AcceptRA]
RouteMetric=${metric}
UseDomains=no
Token=eui64
`;

/*
 * The network's own resolver first; a public one only where the network names none. By multicast it tells those at home
 * where homing.local is (RFC 6762); the firewall lets nobody else ask.
 */
const resolved = `[Resolve]
FallbackDNS=9.9.9.9 2620:fe::fe 1.1.1.1 2606:4700:4700::1111
LLMNR=no
MulticastDNS=yes
DNSSEC=no
`;

/* Every quarter of an hour is often enough for a clock that only must not start in the past; cards wear. */
const timesyncd = `[Time]
FallbackNTP=0.debian.pool.ntp.org 1.debian.pool.ntp.org 2.debian.pool.ntp.org 3.debian.pool.ntp.org
SaveIntervalSec=15min
`;

/* Logs name addresses of people: they stay in memory and end with it. */
const journald = `[Journal]
Storage=volatile
RuntimeMaxUse=32M
RuntimeMaxFileSize=4M
MaxRetentionSec=7day
ForwardToSyslog=no
`;

const sysctl = `# A relay that nobody looks after starts again after a kernel panic.
kernel.panic = 10
kernel.kptr_restrict = 2
kernel.dmesg_restrict = 1
kernel.unprivileged_bpf_disabled = 1
net.core.bpf_jit_harden = 2
kernel.yama.ptrace_scope = 2
fs.protected_fifos = 2
fs.protected_hardlinks = 1
fs.protected_regular = 2
fs.protected_symlinks = 1
fs.suid_dumpable = 0
# No routing, no redirects, no source routes; spoofed sources are dropped.
net.ipv4.conf.all.rp_filter = 2
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.send_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv4.conf.default.accept_source_route = 0
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.default.accept_redirects = 0
net.ipv4.tcp_syncookies = 1
# Packets come in bursts, and drivers cannot wait for room: kept free, twice what the kernel keeps of 1 GiB by itself.
vm.min_free_kbytes = 8192
# Thousands of idle IMAP connections watch a directory each.
fs.inotify.max_user_instances = 16384
fs.inotify.max_user_watches = 262144
`;

/*
 * tmpfiles.d(5). Everything on the data partition is listed with its owner, so that a directory lost or
 * restored with wrong owners is mended at the next boot.
 *
 * +j (chattr(1)): ext4 writes the content of what is made in there to its journal, together with the file's
 * new length. Otherwise what is appended within a block that exists can reach the disk after the length, and a
 * power cut in between leaves zeros at the end of a Dovecot index. ext4 ignores the attribute unless the file
 * system is mounted with nodelalloc (image/initramfs/init.sh).
 *
 * r! removes at the start a lock that a power cut left: it names a process, whose number another one has by then, and
 * Dovecot would show that mailbox no new mail for minutes.
 */
const tmpfiles = `d ${runDirectory} 0755 root root
d ${runPaths.metrics} 1777 root root
d ${dirname(runPaths.queueFigures)} 0755 postfix postfix
d ${runPaths.milterState} 0700 ${users.milter.name} ${users.milter.name}
d ${runPaths.metadataState} 0700 ${users.courier.name} ${users.courier.name}
d ${runPaths.turnState} 0755 ${users.turn.name} ${users.turn.name}
d ${runPaths.webState} 0700 ${users.web.name} ${users.web.name}
d ${dirname(runPaths.knownWays)} 0755 ${users.courier.name} ${users.courier.name}
d ${runPaths.acmeChallenges} 0755 ${users.certificates.name} ${users.certificates.name}
d ${dataPaths.relay} 0700 root root
d ${dataPaths.tls} 0755 ${users.certificates.name} ${users.certificates.name}
d ${dataPaths.certificates} 0700 ${users.certificates.name} ${users.certificates.name}
d ${dirname(runPaths.certificateProblem)} 0755 ${users.certificates.name} ${users.certificates.name}
d ${dataPaths.ssh} 0700 root root
d ${dataPaths.clock} 0755 systemd-timesync systemd-timesync
d ${dataPaths.accounts} 0700 ${users.auth.name} ${users.auth.name}
d ${dataPaths.metadata} 0700 ${users.courier.name} ${users.courier.name}
Z ${dataPaths.metadata} - ${users.courier.name} ${users.courier.name}
d ${dataPaths.dkim} 0755 ${users.dkim.name} ${users.dkim.name}
d ${dataPaths.mail} 0700 ${users.vmail.name} ${users.vmail.name}
d ${dataPaths.mailIndex} 0700 ${users.vmail.name} ${users.vmail.name}
h ${dataPaths.mailIndex} - - - - +j
r! ${dataPaths.mailIndex}/*/.*/dovecot-uidlist.lock
d ${dataPaths.canary} 0700 ${users.probe.name} ${users.probe.name}
d ${dirname(runPaths.canaryVerdict)} 0755 ${users.probe.name} ${users.probe.name}
d ${dataPaths.reaper} 0755 ${users.vmail.name} ${users.vmail.name}
d ${runPaths.reaper} 0755 ${users.vmail.name} ${users.vmail.name}
d ${runPaths.reaperFull} 0700 ${users.vmail.name} ${users.vmail.name}
d ${runPaths.reaperAgain} 0700 ${users.vmail.name} ${users.vmail.name}
d ${dataPaths.door} 0700 ${users.courier.name} ${users.courier.name}
h ${dataPaths.door} - - - - +j
d ${dataPaths.postfix} 0755 root root
d ${dataPaths.postfix}/queue 0755 root root
d ${dataPaths.postfix}/state 0700 postfix postfix
`;
