/**
 * How much each account may send: the generic cell rate algorithm (ITU-T I.371, virtual scheduling), exact for
 * every account that sent lately. Time comes in as a parameter; memory is bounded. Called by outgoing.ts.
 */

export type RateLimitSettings = Readonly<{
  /** Messages per minute in the long run. */
  perMinute: number;
  /** Messages at once after a silence. */
  burst: number;
}>;

export type RateLimit = Readonly<{
  /** Counts a message of this account at `now` (milliseconds, never going back); false when it is one too many. */
  take(account: string, now: number): boolean;
  /** How many accounts are remembered, for tests and metrics. */
  size(): number;
}>;

/**
 * Accounts remembered at once. An account is forgotten when its limit is fully restored (10 s after a burst with
 * the defaults), so this is never reached by real use; beyond it the account that sent longest ago starts anew.
 */
const MAX_ACCOUNTS = 100_000;

export function createRateLimit({ perMinute, burst }: RateLimitSettings): RateLimit {
  const interval = 60_000 / perMinute;
  /** How far the theoretical arrival time may lie ahead for a message to conform. */
  const tolerance = (burst - 1) * interval;
  /** Theoretical arrival time of each account's next message; who sent last stands last. */
  const arrivals = new Map<string, number>();

  const forgetRestored = (now: number): void => {
    for (const [account, arrival] of arrivals) {
      if (arrival > now && arrivals.size < MAX_ACCOUNTS) break;
      arrivals.delete(account);
    }
  };

  return {
    take(account, now) {
      const arrival = Math.max(arrivals.get(account) ?? now, now);
      if (arrival - now > tolerance) return false;
      arrivals.delete(account);
      forgetRestored(now);
      arrivals.set(account, arrival + interval);
      return true;
    },
    size: () => arrivals.size,
  };
}
