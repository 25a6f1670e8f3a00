/** Whether an IP address can be reached from the Internet (RFC 6890). Pure; called by judge.ts and the commands. */
import { BlockList, isIPv4 } from "node:net";

const special = new BlockList();
/** The special-purpose registries of IANA, as far as they are not globally reachable; multicast besides. */
const ranges: readonly (readonly [string, number])[] = [
  ...([
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["224.0.0.0", 3],
  ] as const),
  ...([
    ["::", 127],
    ["100::", 64],
    ["2001:db8::", 32],
    ["3fff::", 20],
    ["fc00::", 7],
    ["fe80::", 10],
    ["ff00::", 8],
  ] as const),
];
for (const [network, prefix] of ranges) {
  special.addSubnet(network, prefix, isIPv4(network) ? "ipv4" : "ipv6");
}

/** False for private, shared and documentation addresses, and for those of one machine or network. Takes valid ones. */
export function isPublicAddress(address: string): boolean {
  return !special.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}
