/**
 * The unit that puts the firewall of the settings (nftables.ts) in the place of the closed one, with which the network
 * starts. Listed in units.ts.
 */
import { sandboxLines } from "./sandbox.ts";
import { startsFirst } from "./start-order.ts";

/** One transaction: no packet meets neither of the two. Where it fails, the closed one stays. */
export const firewallService = `[Unit]
Description=Load the firewall that fits the settings
Requires=homing-configure.service nftables.service
After=homing-configure.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/nftables.conf
SyslogIdentifier=%N
TimeoutStartSec=2min
${startsFirst}
${sandboxLines({ network: "host", rank: "login", capabilities: ["CAP_NET_ADMIN"], privateUsers: false })}
`;
