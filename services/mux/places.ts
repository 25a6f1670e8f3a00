/** Who holds how many connections, so that no network takes all of them. Pure. Called by connection.ts. */
import { networkOf } from "../lib/network.ts";

export type Places = Readonly<{
  /** Takes a place for a client; the network it counts for, or undefined when that has no more. */
  take(address: string): string | undefined;
  /** Gives it back. */
  leave(network: string): void;
}>;

export function createPlaces(perNetwork: number): Places {
  const held = new Map<string, number>();
  return {
    take: (address) => {
      const network = networkOf(address, 64);
      const count = held.get(network) ?? 0;
      if (count >= perNetwork) return undefined;
      held.set(network, count + 1);
      return network;
    },
    leave: (network) => {
      const count = held.get(network) ?? 0;
      if (count > 1) held.set(network, count - 1);
      else held.delete(network);
    },
  };
}
