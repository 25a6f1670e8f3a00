/**
 * Who holds how many places, so that no network takes all of them: connections (services/mux, services/web), messages
 * under way (services/web/mxdeliv.ts). An IPv6 client counts for its /64 and for its /48, which has 65 536 of those and
 * is what a hoster gives to anybody; an IPv4 client counts for its address. Pure.
 */
import { networkOf } from "./network.ts";

export type NetworkPlaces = Readonly<{
  /** Takes a place for a client; the network it counts for, or undefined when that has no more. */
  take(address: string): string | undefined;
  /** Gives it back. `network` is what `take` answered. */
  leave(network: string): void;
}>;

export type NetworkLimits = Readonly<{
  /** Places of an IPv4 address or an IPv6 /64. */
  perNetwork: number;
  /** Places of an IPv6 /48. */
  perSite: number;
}>;

export function createNetworkPlaces({ perNetwork, perSite }: NetworkLimits): NetworkPlaces {
  const held = new Map<string, number>();
  const count = (name: string | undefined): number => (name === undefined ? 0 : (held.get(name) ?? 0));
  const change = (name: string | undefined, by: 1 | -1): void => {
    if (name === undefined) return;
    const left = count(name) + by;
    if (left > 0) held.set(name, left);
    else held.delete(name);
  };
  return {
    take: (address) => {
      const network = networkOf(address, 64);
      const site = siteOf(network);
      if (count(network) >= perNetwork || count(site) >= perSite) return undefined;
      change(network, 1);
      change(site, 1);
      return network;
    },
    leave: (network) => {
      change(network, -1);
      change(siteOf(network), -1);
    },
  };
}

/** The /48 of a /64; undefined for an IPv4 address, which is a site of its own. */
function siteOf(network: string): string | undefined {
  return network.endsWith("/64") ? networkOf(network.slice(0, -"/64".length), 48) : undefined;
}
