/**
 * The TURN server (RFC 8656; coturn(1)): its configuration from the relay's settings, the script that starts it with the
 * addresses that the machine has, and its units. It runs only where configure.ts wrote the configuration (life/turn.ts).
 */
import { programDirectory, runPaths, turnPort, users } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { neverGiveUp, restartLines, sandboxLines } from "./sandbox.ts";
import { loginUnit, startsLater } from "./start-order.ts";

/**
 * Bytes a second of one end of a call, each way: WebRTC's video asks for 2.5 Mbit/s at most. All calls together are kept
 * to what is set by the firewall, for coturn's `bps-capacity` takes this much of it for each end, whatever that end sends.
 */
const MAX_BYTES_PER_SECOND = 400_000;
/** Ends of calls under one credential, which is an account's. A client has one, or some while it tries its ways. */
const MAX_ENDS_OF_CREDENTIAL = 12;
/** Seconds after which a client has to prove itself anew. */
const NONCE_SECONDS = 600;
/** Far more than some addresses and networks take. */
const MOST_ADDRESS_BYTES = 65_536;
/** Between two looks at the addresses; each costs some processes of a millisecond. */
const LOOK_EVERY = "2min";

/**
 * What no call may lead to: networks that are not the Internet (RFC 6890 and IANA's registries of special addresses).
 * Whoever has an account could otherwise send to routers and other devices in the relay's home.
 */
const deniedPeers = [
  "0.0.0.0-0.255.255.255",
  "10.0.0.0-10.255.255.255",
  "100.64.0.0-100.127.255.255",
  "127.0.0.0-127.255.255.255",
  "169.254.0.0-169.254.255.255",
  "172.16.0.0-172.31.255.255",
  "192.0.0.0-192.0.0.255",
  "192.0.2.0-192.0.2.255",
  "192.88.99.0-192.88.99.255",
  "192.168.0.0-192.168.255.255",
  "198.18.0.0-198.19.255.255",
  "198.51.100.0-198.51.100.255",
  "203.0.113.0-203.0.113.255",
  "224.0.0.0-255.255.255.255",
  // All but global unicast (RFC 4291 §2.4, as allocated): mapped and translated IPv4, fc00::/7, fe80::/10, ff00::/8.
  // From ::1 on, for coturn takes a range of IPv6 that begins with :: for one that holds all of IPv4; nobody is at ::.
  "::1-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  "4000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  // Protocols' own addresses, Teredo among them; examples (RFC 3849, RFC 9637); 6to4.
  "2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
  "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
  "3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
  "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
] as const;

/**
 * What a line usually gets of IPv6 at least (RIPE-690): a home's other networks are in it too, not only the relay's own.
 * A multiple of 4, like all that the script below reckons with.
 */
const HOME_PREFIX_BITS = 56;
/** A route to more than this is a default route by another name: no home has so much. */
const LARGEST_NETWORK_BITS = { ip4: 8, ip6: 32 } as const;
/** A route to less than the usual network of a link is one to a host, which may be anywhere. */
const LINK_BITS = 64;

/** The text of turnserver.conf. */
export function turnConf({ domain, turn }: RelayConfig, secret: string): string {
  return `# Made at every boot from relay.toml; changes here are lost.
listening-port=${turnPort}
min-port=${turn.firstPort}
max-port=${turn.lastPort}
realm=${domain}
# Names are times, passwords their HMAC (services/metadata/turn.ts).
use-auth-secret
static-auth-secret=${secret}
stale-nonce=${NONCE_SECONDS}
fingerprint
user-quota=${MAX_ENDS_OF_CREDENTIAL}
total-quota=${turn.lastPort - turn.firstPort + 1}
max-bps=${MAX_BYTES_PER_SECOND}
relay-threads=1
# UDP alone, what calls are made of.
no-tcp
no-tls
no-dtls
no-tcp-relay
# Nothing but TURN and a plain answer of STUN: what is larger than its question serves attacks.
no-rfc5780
no-stun-backward-compatibility
response-origin-only-with-rfc5780
no-software-attribute
no-cli
no-multicast-peers
${deniedPeers.map((range) => `denied-peer-ip=${range}`).join("\n")}
# The log names nobody.
log-file=stdout
simple-log
pidfile=${runPaths.turnState}/pid
userdb=${runPaths.turnState}/nobody
`;
}

/**
 * awk(1): the range of public addresses that each prefix on stdin (`2001:db8:1:2::/64`, `192.0.2.0/24`) is in, for denied-peer-ip.
 * Awk knows no arithmetic of bits: IPv6 is cut at a hexadecimal digit, which takes at most some networks too many.
 */
const networksProgram = `
function ip6(text, bits,    groups, n, i, digits, gaps, kept) {
  if (bits < ${LARGEST_NETWORK_BITS.ip6}) return
  if (bits > ${HOME_PREFIX_BITS}) bits = ${HOME_PREFIX_BITS}
  n = split(text, groups, ":")
  for (i = 1; i <= n; i++) {
    if (groups[i] != "") digits = digits substr("0000" groups[i], length(groups[i]) + 1)
    else if (!gaps++) digits = digits substr("00000000000000000000000000000000", 1, 4 * (8 - filled(groups, n)))
  }
  kept = substr(digits, 1, int(bits / 4))
  print with(kept, "0") "-" with(kept, "f")
}
function filled(groups, n,    i, count) {
  for (i = 1; i <= n; i++) count += groups[i] != ""
  return count
}
function with(kept, digit,    text, i) {
  while (length(kept) < 32) kept = kept digit
  for (i = 1; i < 32; i += 4) text = text (i > 1 ? ":" : "") substr(kept, i, 4)
  return text
}
function ip4(text, bits,    bytes, number, size) {
  if (bits < ${LARGEST_NETWORK_BITS.ip4} || bits > 31) return
  split(text, bytes, ".")
  number = ((bytes[1] * 256 + bytes[2]) * 256 + bytes[3]) * 256 + bytes[4]
  size = 2 ^ (32 - bits)
  number -= number % size
  print dotted(number) "-" dotted(number + size - 1)
}
function dotted(number) {
  return int(number / 16777216) "." int(number / 65536) % 256 "." int(number / 256) % 256 "." number % 256
}
{ split($1, part, "/") }
part[1] ~ /^[23][0-9a-f][0-9a-f][0-9a-f]:/ { ip6(part[1], part[2]) }
part[1] ~ /^[0-9]+[.][0-9.]+$/ { ip4(part[1], part[2]) }
`;

/**
 * Prints what the server is to be told of addresses, an option a line: those of the machine that lead out, behind a
 * router the public one that the DNS shows, and the networks that the machine is in, where no call may lead: with global
 * addresses too they are somebody's home, behind his firewall. Run by both units, so that a change shows.
 */
export const turnAddressesScript = {
  path: `${programDirectory}/turn-addresses`,
  mode: 0o755,
  content: `#!/bin/sh
# turn-addresses: called by turn-start and turn-look. Fails while the machine has no address or the DNS does not answer.
set -eu
domain=$(cat ${runPaths.turnDomain})
source_of() { ip -o "$1" route get "$2" 2>/dev/null | sed -n 's/.* src \\([^ ]*\\).*/\\1/p'; }
four=$(source_of -4 192.0.2.1)
six=$(source_of -6 2001:db8::1)
case "$six" in 2* | 3*) ;; *) six= ;; esac
[ -n "$four$six" ] || { echo "the machine has no address that leads out" >&2; exit 1; }
shown=$(getent ahosts "$domain")
# Name servers tell several in turns.
public=$(echo "$shown" | sed -n 's/^\\([0-9.]*\\) .*/\\1/p' | sort | head -n 1)
[ -z "$four" ] || echo "--listening-ip=$four"
[ -z "$six" ] || echo "--listening-ip=$six"
if [ -n "$four" ] && [ -n "$public" ] && ! ip -o -4 addr show to "$public/32" | grep -q .; then
  echo "--external-ip=$public/$four"
fi
# Both ends of a call may be relayed here; what else listens here, the firewall keeps from it.
[ -z "$four" ] || echo "--allowed-peer-ip=$four"
[ -z "$six" ] || echo "--allowed-peer-ip=$six"
networks() {
  ip -o -4 addr show scope global | awk '{ print $4 }'
  ip -o -6 addr show scope global | awk '{ print $4 }'
  ip -o -4 route show scope link | awk '$1 ~ "/" { print $1 }'
  ip -o -6 route show | awk '$1 ~ "/" { split($1, part, "/"); if (part[2] <= ${LINK_BITS}) print $1 }'
}
ranges=$(networks | awk '${networksProgram}' | sort -u)
for range in $ranges; do echo "--denied-peer-ip=$range"; done
`,
} as const;

export const turnStartScript = {
  path: `${programDirectory}/turn-start`,
  mode: 0o755,
  content: `#!/bin/sh
# turn-start: becomes the TURN server. Called by homing-turn.service.
set -eu
# For turn-look: root without a capability, who reads what everybody may.
(umask 022 && ${turnAddressesScript.path} >${runPaths.turnState}/addresses)
# Words of the script above, without blanks or wildcards.
exec /usr/bin/turnserver -c ${runPaths.turnConf} $(cat ${runPaths.turnState}/addresses)
`,
} as const;

/** Calls break off when the server starts again, but with another address they are over anyway. */
export const turnLookScript = {
  path: `${programDirectory}/turn-look`,
  mode: 0o755,
  content: `#!/bin/sh
# turn-look: starts the TURN server again when the machine's addresses, or the one in the DNS, are others than it has.
# A look that finds no IPv4 address in the DNS changes nothing.
# Called by homing-turn-look.service.
set -eu
now=$(${turnAddressesScript.path}) || exit 0
# In a folder of the server's: no link is followed, no pipe waited for, and no more read than there can be.
was=$(dd if=${runPaths.turnState}/addresses iflag=nofollow,nonblock bs=${MOST_ADDRESS_BYTES} count=1 status=none) || was=
[ "$now" != "$was" ] || exit 0
# The lookup of the public IPv4 address may fail alone: that it is missing is no reason to break off calls.
[ "$now" != "$(printf '%s\\n' "$was" | grep -v '^--external-ip=')" ] || exit 0
systemctl try-restart homing-turn.service
`,
} as const;

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function turnUnits(hide: readonly string[]): Record<string, string> {
  return {
    "homing-turn.service": turnService(hide),
    "homing-turn-look.service": turnLookService(hide),
    "homing-turn-look.timer": turnLookTimer,
  };
}

/** Interfaces are asked for, beside the Internet. A second line of the kind adds to the first. */
const asksForInterfaces = "RestrictAddressFamilies=AF_NETLINK";

/** ip(8) lets go of the capabilities that it does not have, and ends without a word when it may not. */
const mayLetGo = "SystemCallFilter=capset";

const turnService = (hide: readonly string[]) => `[Unit]
Description=TURN server for calls
Requires=homing-configure.service
After=homing-configure.service homing-firewall.service network.target ${loginUnit}
ConditionPathExists=${runPaths.turnConf}
${neverGiveUp}

[Service]
Type=exec
User=${users.turn.name}
SyslogIdentifier=%N
${startsLater}
ExecStart=${turnStartScript.path}
${restartLines}
# It says a line for each wrong password: strangers must not push all else out of the log.
LogRateLimitIntervalSec=1min
LogRateLimitBurst=200
LimitNOFILE=16384
MemoryDenyWriteExecute=yes
${sandboxLines({ network: "world", rank: "service", memory: "15%", tasks: 32, write: [runPaths.turnState], hide })}
${asksForInterfaces}
${mayLetGo}

[Install]
WantedBy=homing.target
`;

const turnLookService = (hide: readonly string[]) => `[Unit]
Description=See whether the TURN server has the right addresses
After=homing-turn.service
ConditionPathExists=${runPaths.turnState}/addresses
${neverGiveUp}

[Service]
Type=oneshot
SyslogIdentifier=%N
${startsLater}
ExecStart=${turnLookScript.path}
TimeoutStartSec=1min
${sandboxLines({ network: "loopback", hide, privateUsers: false })}
${asksForInterfaces}
`;

const turnLookTimer = `[Unit]
Description=See from time to time whether the TURN server has the right addresses
After=homing-configure.service
ConditionPathExists=${runPaths.turnConf}

[Timer]
OnActiveSec=${LOOK_EVERY}
OnUnitInactiveSec=${LOOK_EVERY}
RandomizedDelaySec=20s
AccuracySec=5s

[Install]
WantedBy=homing.target
`;
