/**
 * How many accounts a network may make, so that one address cannot fill the disk with them. In memory: a restart
 * forgives. Who is over it is refused like anybody when the machine is short of something. Called by accounts.ts.
 */
import { networkOf } from "../lib/network.ts";
import { createBuckets } from "./buckets.ts";

/**
 * What the whole /48 of an IPv6 address may make, in limits of a /64: it holds 65 536 of those, which a hoster gives
 * to anybody, but at a carrier they are as many phones.
 */
const linksPerSite = 10;

/** Networks remembered; all full take about 3 MB. Beyond, the one that has been silent longest starts afresh. */
const maxNetworks = 10_000;

const msPerHour = 3_600_000;

export type SignUpLimits = Readonly<{
  /** Takes one of what `client` may make; undefined when there is none left. The function gives it back, unused. */
  take(client: string): (() => void) | undefined;
}>;

/** @param now a steady clock in milliseconds. */
export function createSignUpLimits(
  settings: Readonly<{ networkPerHour: number; networkBurst: number }>,
  now: () => number,
): SignUpLimits {
  const { networkPerHour, networkBurst } = settings;
  const buckets = (times: number) =>
    createBuckets({
      burst: networkBurst * times,
      refillMs: msPerHour / (networkPerHour * times),
      limit: maxNetworks,
    });
  const links = buckets(1);
  const sites = buckets(linksPerSite);
  return {
    take(client) {
      // An IPv4 address is its own site, whose ten times are never reached.
      const taken = [
        [links, networkOf(client, 64)],
        [sites, networkOf(client, 48)],
      ] as const;
      const start = now();
      if (!taken.every(([of, name]) => of.has(name, start))) return undefined;
      for (const [of, name] of taken) of.take(name, start);
      return () => {
        for (const [of, name] of taken) of.giveBack(name, now());
      };
    },
  };
}
