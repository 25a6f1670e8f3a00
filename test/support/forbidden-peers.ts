/**
 * Networks that are not the Internet, to which the TURN server leads no call: IANA's registries of special addresses
 * (RFC 6890 and later), and all of IPv6 that is not global unicast as allocated (RFC 4291 §2.4). Written here a second
 * time, by hand: the product's list is held against it, by itself (ring 1) and in coturn (ring 2).
 */

export type ForbiddenPeers = Readonly<{
  what: string;
  first: string;
  last: string;
  /** A peer in the middle of it. */
  example: string;
  /** Next to it, where the Internet begins. */
  allowed: readonly string[];
}>;

export const forbiddenPeers: readonly ForbiddenPeers[] = [
  of("this network", "0.0.0.0", "0.255.255.255", "0.0.0.1", ["1.0.0.0"]),
  of("private, 10", "10.0.0.0", "10.255.255.255", "10.1.2.3", ["9.255.255.255", "11.0.0.0"]),
  of("a provider's own", "100.64.0.0", "100.127.255.255", "100.64.0.1", ["100.63.255.255", "100.128.0.0"]),
  of("the machine itself", "127.0.0.0", "127.255.255.255", "127.0.0.1", ["126.255.255.255", "128.0.0.0"]),
  of("link-local", "169.254.0.0", "169.254.255.255", "169.254.169.254", ["169.253.255.255", "169.255.0.0"]),
  of("private, 172", "172.16.0.0", "172.31.255.255", "172.20.5.5", ["172.15.255.255", "172.32.0.0"]),
  of("protocols", "192.0.0.0", "192.0.0.255", "192.0.0.8", ["191.255.255.255", "192.0.1.0"]),
  of("examples, 192", "192.0.2.0", "192.0.2.255", "192.0.2.7", ["192.0.1.255", "192.0.3.0"]),
  of("6to4 relays", "192.88.99.0", "192.88.99.255", "192.88.99.1", ["192.88.98.255", "192.88.100.0"]),
  of("private, 192", "192.168.0.0", "192.168.255.255", "192.168.1.1", ["192.167.255.255", "192.169.0.0"]),
  of("benches", "198.18.0.0", "198.19.255.255", "198.19.0.1", ["198.17.255.255", "198.20.0.0"]),
  of("examples, 198", "198.51.100.0", "198.51.100.255", "198.51.100.7", ["198.51.99.255", "198.51.101.0"]),
  of("examples, 203", "203.0.113.0", "203.0.113.255", "203.0.113.7", ["203.0.112.255", "203.0.114.0"]),
  of("multicast", "224.0.0.0", "239.255.255.255", "239.1.2.3", ["223.255.255.255"]),
  of("reserved, broadcast", "240.0.0.0", "255.255.255.255", "250.1.2.3", []),

  of("the machine itself, by IPv6", "::1", "::1", "::1", []),
  of("IPv4 in IPv6", "::ffff:0:0", "::ffff:ffff:ffff", "::ffff:192.168.1.1", []),
  of("translated IPv4", "64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9b::c0a8:101", []),
  of("translated within a network", "64:ff9b:1::", up("64:ff9b:1"), "64:ff9b:1::c0a8:101", []),
  of("nobody's", "100::", "100::ffff:ffff:ffff:ffff", "100::7", []),
  of("below global unicast", "1000::", up("1fff"), "1234::7", ["2000::"]),
  of("protocols, by IPv6", "2001::", up("2001:1ff"), "2001:0:c0a8:101::1", [up("2000"), "2001:200::"]),
  of("examples, by IPv6", "2001:db8::", up("2001:db8"), "2001:db8::7", [up("2001:db7"), "2001:db9::"]),
  of("6to4", "2002::", up("2002"), "2002:c0a8:101::1", [up("2001"), "2003::"]),
  of("more examples, by IPv6", "3fff::", up("3fff:fff"), "3fff:1::7", [up("3ffe"), "3fff:1000::"]),
  of("above global unicast", "4000::", up("fbff"), "5f00::7", [up("3fff")]),
  of("unique local", "fc00::", up("fdff"), "fd12:3456::1", []),
  of("link-local, by IPv6", "fe80::", up("febf"), "fe80::1", []),
  of("site-local", "fec0::", up("feff"), "fec0::1", []),
  of("multicast, by IPv6", "ff00::", up("ffff"), "ff0e::7", []),
];

function of(
  what: string,
  first: string,
  last: string,
  example: string,
  allowed: readonly string[],
): ForbiddenPeers {
  return { what, first, last, example, allowed };
}

/** The last address that begins with these groups. */
function up(groups: string): string {
  return [...groups.split(":"), ...Array.from({ length: 8 - groups.split(":").length }, () => "ffff")].join(
    ":",
  );
}
