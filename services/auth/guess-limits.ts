/**
 * How often passwords may be tried, by account and by network, so that guessing leads nowhere while the owner
 * still gets in. Only tries that need a hash are counted, and a right one costs nothing in the end. In memory:
 * a restart forgives, which is harmless, for clients' passwords are long and random. Called by accounts.ts.
 *
 *   The account has logged in from this network before:  its own allowance, which nobody elsewhere can use up.
 *   This network has not failed here in a day:           the account's reserve for newcomers. Guessers use up
 *                                                        theirs once each; then it is the owner's again.
 *   Otherwise:                                           network at this account, account, and network must all
 *                                                        have some left.
 */
import { type BucketOptions, createBuckets } from "./buckets.ts";

/*
 * NIST SP 800-63B §5.2.2 wants no more than 100 wrong tries in a row; a lockout for good would let anybody lock
 * out anybody, so tries come back with time. Sizes: a relay on a Pi has some thousands of accounts; all tables
 * full take about 15 MB.
 */
const limits = {
  familiar: { burst: 30, refillMs: 10_000, limit: 20_000 },
  newcomers: { burst: 20, refillMs: 6_000, limit: 10_000 },
  pair: { burst: 10, refillMs: 60_000, limit: 20_000 },
  account: { burst: 50, refillMs: 10_000, limit: 10_000 },
  /** Generous: hundreds of phones share one address behind a carrier's NAT (RFC 6598). */
  network: { burst: 100, refillMs: 1_000, limit: 10_000 },
} satisfies Record<string, BucketOptions>;

/** Pairs of account and network remembered, of each kind. */
const maxPairs = 20_000;
/** How long a network that failed at an account is no newcomer there. */
const failureMemoryMs = 24 * 3_600_000;

/** A try that may go on. Exactly one of the three is called when it is over. */
export type Try = Readonly<{
  /** The account has logged in from this network before. */
  familiar: boolean;
  right(): void;
  wrong(): void;
  /** The password was not looked at. */
  untried(): void;
}>;

export type GuessLimits = Readonly<{
  /** undefined: too many wrong tries, later again. */
  admit(address: string, network: string): Try | undefined;
  /** The account logged in from this network. */
  welcome(address: string, network: string): void;
}>;

/** @param now a steady clock in milliseconds. */
export function createGuessLimits(now: () => number): GuessLimits {
  const familiar = createBuckets(limits.familiar);
  const newcomers = createBuckets(limits.newcomers);
  const pairs = createBuckets(limits.pair);
  const accounts = createBuckets(limits.account);
  const networks = createBuckets(limits.network);
  const welcomed = createTimes(maxPairs);
  const failed = createTimes(maxPairs);

  const welcome = (address: string, network: string): void => {
    const pair = `${address} ${network}`;
    welcomed.set(pair, now());
    failed.delete(pair);
  };

  return {
    welcome,
    admit(address, network) {
      const pair = `${address} ${network}`;
      const start = now();
      const isFamiliar = welcomed.get(pair) !== undefined;
      const isNewcomer = start - (failed.get(pair) ?? Number.NEGATIVE_INFINITY) > failureMemoryMs;
      const taken = isFamiliar
        ? ([[familiar, pair]] as const)
        : isNewcomer
          ? ([[newcomers, address]] as const)
          : ([
              [pairs, pair],
              [accounts, address],
              [networks, network],
            ] as const);
      if (!taken.every(([buckets, name]) => buckets.has(name, start))) return undefined;
      for (const [buckets, name] of taken) buckets.take(name, start);
      const giveBack = (): void => {
        for (const [buckets, name] of taken) buckets.giveBack(name, now());
      };
      // Tries that run at the same time are no newcomers each.
      if (isNewcomer && !isFamiliar) failed.set(pair, start);
      return {
        familiar: isFamiliar,
        right: () => {
          giveBack();
          welcome(address, network);
        },
        wrong: () => failed.set(pair, now()),
        untried: () => {
          giveBack();
          if (isNewcomer) failed.delete(pair);
        },
      };
    },
  };
}

/** Times by name, the longest untouched forgotten first. */
function createTimes(limit: number) {
  const times = new Map<string, number>();
  return {
    get: (name: string): number | undefined => times.get(name),
    delete: (name: string): boolean => times.delete(name),
    set(name: string, time: number): void {
      times.delete(name);
      times.set(name, time);
      for (const oldest of times.keys()) {
        if (times.size <= limit) break;
        times.delete(oldest);
      }
    },
  };
}
