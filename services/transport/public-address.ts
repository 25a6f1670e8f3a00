/**
 * Which addresses a request with somebody's mail may be made to: those of the public Internet, since whoever sends
 * chooses the domain, and its DNS any address. Pure. Called by https-post.ts.
 */
import { BlockList, isIP } from "node:net";

type Subnets = readonly (readonly [network: string, bits: number])[];

/** This machine, its links and groups of machines: no other host by any name. */
const noOtherHost4: Subnets = [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  // Groups (RFC 5771), reserved addresses and the broadcast (RFC 1112, RFC 919).
  ["224.0.0.0", 3],
];
const noOtherHost6: Subnets = [
  ["::", 127],
  ["fe80::", 10],
  ["ff00::", 8],
];
/** What IANA's registry of special addresses (RFC 6890) has for private use beside these. */
const private4: Subnets = [
  // RFC 1918
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  // RFC 6598, between a provider and its customers
  ["100.64.0.0", 10],
  // RFC 6890 §2.1, protocols of a link; RFC 2544, measuring devices
  ["192.0.0.0", 24],
  ["198.18.0.0", 15],
];
/** Global unicast (RFC 4291 §2.4, as allocated): fc00::/7 (RFC 4193), fec0::/10 and what is unassigned are outside. */
const global6: Subnets = [["2000::", 3]];
/** Networks that have IPv6 alone reach IPv4 by it (RFC 6052 §2.1). */
const translated = { prefix: "64:ff9b::", bits: 96 };
/** Inside global unicast, with an IPv4 address of anybody's choice in it: Teredo (RFC 4380), 6to4 (RFC 7526). */
const tunnels6: Subnets = [
  ["2001::", 32],
  ["2002::", 16],
];

const noOtherHost = listOf(noOtherHost4, noOtherHost6);
const special = listOf(
  [...noOtherHost4, ...private4],
  [
    ...tunnels6,
    ...[...noOtherHost4, ...private4].map(
      ([network, bits]) => [translated.prefix + network, translated.bits + bits] as const,
    ),
  ],
);
const reachable6 = listOf([], [...global6, [translated.prefix, translated.bits]]);

/** False for what is no address, and for one with a zone (`%eth0`). */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address);
  if (version === 4) return !special.check(address, "ipv4");
  return version === 6 && reachable6.check(address, "ipv6") && !special.check(address, "ipv6");
}

/** An address of a machine that may be another, in public or private networks. */
export function isOfOtherHost(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && !noOtherHost.check(address, version === 6 ? "ipv6" : "ipv4");
}

/** IPv4 subnets hold for addresses of IPv6 that stand for such (`::ffff:10.0.0.1`) too. */
function listOf(subnets4: Subnets, subnets6: Subnets): BlockList {
  const list = new BlockList();
  for (const [network, bits] of subnets4) list.addSubnet(network, bits, "ipv4");
  for (const [network, bits] of subnets6) list.addSubnet(network, bits, "ipv6");
  return list;
}
