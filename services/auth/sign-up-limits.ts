/**
 * How many accounts a network may make, so that one address cannot fill the disk with them, and all networks
 * together. In memory: a restart forgives. Who is over it is refused like anybody when the machine is short of
 * something, or may prove some work (proof-of-work.ts). Called by accounts.ts and sign-up.ts.
 */
import { networkOf } from "../lib/network.ts";
import { type Buckets, createBuckets } from "./buckets.ts";

/**
 * What the whole /48 of an IPv6 address may make, in limits of a /64: it holds 65 536 of those, which a hoster gives
 * to anybody, but at a carrier they are as many phones.
 */
const linksPerSite = 10;

/** Networks remembered; all full take about 3 MB. Beyond, the one that has been silent longest starts afresh. */
const maxNetworks = 10_000;

const msPerHour = 3_600_000;
/** The name of the one bucket of the whole relay. */
const everybody = "relay";

export type SignUpLimits = Readonly<{
  /** Takes one of what `client` may make; undefined when there is none left. The function gives it back, unused. */
  take(client: string): (() => void) | undefined;
  /**
   * The same for a client that proved some work: it is spared the limit of the whole relay, and has another allowance
   * of its network's size.
   */
  takeProven(client: string): (() => void) | undefined;
  /** Milliseconds until `take` has one for this client; 0 when it has. */
  wait(client: string): number;
  /** The same for `takeProven`. */
  waitProven(client: string): number;
}>;

/** @param now a steady clock in milliseconds. */
export function createSignUpLimits(
  settings: Readonly<{
    networkPerHour: number;
    networkBurst: number;
    relayPerHour: number;
    relayBurst: number;
  }>,
  now: () => number,
): SignUpLimits {
  const { networkPerHour, networkBurst, relayPerHour, relayBurst } = settings;
  const ofNetwork = (times: number) =>
    createBuckets({
      burst: networkBurst * times,
      refillMs: msPerHour / (networkPerHour * times),
      limit: maxNetworks,
    });
  const [links, sites] = [ofNetwork(1), ofNetwork(linksPerSite)];
  const [provenLinks, provenSites] = [ofNetwork(1), ofNetwork(linksPerSite)];
  const relay = createBuckets({ burst: relayBurst, refillMs: msPerHour / relayPerHour, limit: 1 });

  type Charged = readonly (readonly [Buckets, string])[];
  // An IPv4 address is its own site, whose ten times are never reached.
  const charged = (client: string): Charged => [
    [links, networkOf(client, 64)],
    [sites, networkOf(client, 48)],
    [relay, everybody],
  ];
  const chargedProven = (client: string): Charged => [
    [provenLinks, networkOf(client, 64)],
    [provenSites, networkOf(client, 48)],
  ];
  const takeAll = (from: Charged): (() => void) | undefined => {
    const start = now();
    if (!from.every(([of, name]) => of.has(name, start))) return undefined;
    for (const [of, name] of from) of.take(name, start);
    return () => {
      for (const [of, name] of from) of.giveBack(name, now());
    };
  };

  const longestWait = (from: Charged): number => {
    const start = now();
    return Math.max(...from.map(([of, name]) => of.wait(name, start)));
  };

  return {
    take: (client) => takeAll(charged(client)),
    takeProven: (client) => takeAll(chargedProven(client)),
    wait: (client) => longestWait(charged(client)),
    waitProven: (client) => longestWait(chargedProven(client)),
  };
}
