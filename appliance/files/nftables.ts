/**
 * The firewall (nftables(8)): everything that comes in is dropped but for the relay's own ports. A rule set
 * without SSH is part of the root file system, the one that fits the settings is written at boot.
 */
import { mdnsPort, metricsListen, ports, sshPort, turnPort, users } from "../layout.ts";

/**
 * New connections one source may open: a hall full of phones behind one address is served, a flood is not.
 * IPv6 sources count by /64, the smallest network a provider gives out.
 */
const newConnections = "100/second burst 500 packets";
const BYTES_PER_MEGABIT = 125_000;
/** Datagrams of new conversations of one source: each call is some, while its ways are tried. */
const newDatagrams = "100/second burst 500 packets";
/** SSH is for one administrator; counted by source, or any scanner would lock the administrator out. */
const newSshConnections = "10/minute burst 20 packets";

/** Forgets a source so long after its last new conversation. */
const oneMinute = `
    timeout 1m`;

/** Who is at home, or comes by a tunnel: RFC 1918, link-local (RFC 3927, RFC 4291), unique local (RFC 4193). */
const privateSources = {
  ip: "10.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16",
  ip6: "fc00::/7, fe80::/10",
} as const;

export type FirewallOptions = Readonly<{
  /** Opens port 22. */
  ssh: boolean;
  /** Opens the port of services/metrics to private sources. */
  metrics: boolean;
  /** One source may hold so many to the relay's ports at the same time. */
  connections: number;
  /** Opens the UDP ports of the TURN server, its own and those of calls, to so much in a second. */
  turn?: Readonly<{ firstPort: number; lastPort: number; maxMegabits: number }> | undefined;
}>;

/** The rule set. */
export function nftablesConf(options: FirewallOptions): string {
  const relayPorts = Object.values(ports).sort((a, b) => a - b);
  const sshRule = `
    tcp dport ${sshPort} jump ssh`;
  const { port } = metricsListen;
  const metricsRules = `
    tcp dport ${port} ip saddr { ${privateSources.ip} } accept
    tcp dport ${port} ip6 saddr { ${privateSources.ip6} } accept`;
  const turnPorts = options.turn && `{ ${turnPort}, ${options.turn.firstPort}-${options.turn.lastPort} }`;
  /*
   * All calls together. It is what comes in that is counted: each datagram goes out again once, and coturn ends a call
   * when the kernel refuses to send. The kernel saves up a second's worth, so a picture that begins a video comes through.
   * Before the rule on conversations, which would let all datagrams but the first pass.
   */
  const turnLimit = `
    udp dport ${turnPorts} limit rate over ${(options.turn?.maxMegabits ?? 0) * BYTES_PER_MEGABIT} bytes/second drop`;
  const turnRule = `
    udp dport ${turnPorts} jump turn`;
  const turnChain = `${limitedChain("turn", newDatagrams)}
  # Behind a router the TURN server lets calls lead to this machine's own address, for the other end of a call may be
  # there: but to nothing else that listens here.
  chain output {
    type filter hook output priority filter; policy accept;
    oif "lo" ip daddr != 127.0.0.0/8 meta skuid ${users.turn.id} ct state new udp dport != ${turnPorts} drop
    oif "lo" ip6 daddr != ::1 meta skuid ${users.turn.id} ct state new udp dport != ${turnPorts} drop
  }
`;
  return `#!/usr/sbin/nft -f
flush ruleset

table inet homing {
${sourceSet("sources4", "ipv4_addr", oneMinute)}
${sourceSet("sources6", "ipv6_addr", oneMinute)}
${sourceSet("open4", "ipv4_addr")}
${sourceSet("open6", "ipv6_addr")}${options.ssh ? limitedChain("ssh", newSshConnections) : ""}${turnPorts ? turnChain : ""}
  chain input {
    type filter hook input priority filter; policy drop;

    iif "lo" accept${turnPorts ? turnLimit : ""}
    ct state vmap { established : accept, related : accept, invalid : drop }

    # RFC 4890: IPv6 does not work without these; neighbours are never behind a router.
    icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
    icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } ip6 saddr fe80::/10 accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
    icmpv6 type echo-request limit rate 20/second burst 50 packets accept
    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
    icmp type echo-request limit rate 20/second burst 50 packets accept

    # DHCP answers (RFC 2131 §4.1, RFC 8415 §7.2).
    udp sport 67 udp dport 68 accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept

    # homing.local, for the network at home alone (RFC 6762 §11), and by IPv4 alone: see below.
    ip saddr { ${privateSources.ip} } udp dport ${mdnsPort} limit rate 50/second burst 100 packets accept

    tcp dport { ${relayPorts.join(", ")} } jump relay${options.ssh ? sshRule : ""}${options.metrics ? metricsRules : ""}${turnPorts ? turnRule : ""}
  }

  chain relay {
    add @sources4 { ip saddr limit rate over ${newConnections} } drop
    add @sources6 { ip6 saddr and ffff:ffff:ffff:ffff:: limit rate over ${newConnections} } drop
    add @open4 { ip saddr ct count over ${options.connections} } reject with tcp reset
    add @open6 { ip6 saddr and ffff:ffff:ffff:ffff:: ct count over ${options.connections} } reject with tcp reset
    accept
  }

  chain announce {
    type filter hook output priority filter; policy accept;

    # A hoster's network need not hear of homing.local. By IPv6 nobody hears of it: link-local addresses are a hoster's
    # neighbours too, and at home the answer would hold the public address, to which browsers come from public ones, that
    # are not known to be at home.
    ip daddr 224.0.0.251 ip saddr != { ${privateSources.ip} } drop
    udp sport ${mdnsPort} ip saddr != { ${privateSources.ip} } drop
    ip6 daddr ff02::fb drop
  }

  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}
`;
}

function sourceSet(name: string, type: "ipv4_addr" | "ipv6_addr", timeout = ""): string {
  return `  set ${name} {
    type ${type}
    size 65536
    flags dynamic${timeout && `, timeout${timeout}`}
  }
`;
}

/** A chain that lets each source begin so many conversations, and its two sets. */
function limitedChain(name: "ssh" | "turn", rate: string): string {
  return `
${sourceSet(`${name}4`, "ipv4_addr", oneMinute)}
${sourceSet(`${name}6`, "ipv6_addr", oneMinute)}
  chain ${name} {
    add @${name}4 { ip saddr limit rate over ${rate} } drop
    add @${name}6 { ip6 saddr and ffff:ffff:ffff:ffff:: limit rate over ${rate} } drop
    accept
  }
`;
}
