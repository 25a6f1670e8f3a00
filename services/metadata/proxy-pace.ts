/**
 * How fast the notification proxy may be asked, by what it answered before. Called by notifier.ts.
 *
 * A proxy that fails is asked by one request at a time, with growing pauses; when it answers again, the number of
 * requests at the same time grows by one with each that succeeds. So neither one that hangs nor one that comes back
 * after a day is met by a crowd. The proxies of chatmail also answer 500 for the token of a phone that is gone, and for
 * what never was one, so a 5xx says something of the proxy only where it took that token before, and for several accounts
 * in a row.
 */

/** With 100 ms for each that is more than a hundred a second, and few connections for the proxy to keep. */
const MAX_AT_ONCE = 16;
/** Beside those, for tokens that it never took: who invents such has these places alone to fill. */
const MAX_UNKNOWN_AT_ONCE = 4;
/** After failures of the proxy in a row: 1, 2, 4 … seconds. Nobody is woken later than by the last of these. */
const MAX_PAUSE_S = 30;
/** Where the proxy does answer (5xx), it may as well be the tokens: the next one is asked for sooner. Seconds. */
const MAX_ANSWERED_PAUSE_S = 4;
/** So many accounts, with a first attempt each, get a 5xx in a row from a proxy that fails. One has up to 32 tokens. */
const ACCOUNTS_OF_A_FAILURE = 5;

export type ProxyPace = Readonly<{
  /** The proxy fails, as far as is known. */
  isFailing: () => boolean;
  /** Whether one more attempt may begin beside those under way: so many for tokens it took before, so many for others. */
  mayBegin: (isKnown: boolean, underWay: Readonly<{ known: number; unknown: number }>) => boolean;
  /** Milliseconds until an attempt may begin; below 0 when one may. */
  pauseLeft: () => number;
  /** None before so many seconds have passed. */
  pause: (seconds: number) => void;
  /** The proxy did not answer, or asked for less. */
  failed: () => void;
  /** It answered 5xx to the first attempt with a token that it took before. True when it counts as failing. */
  failedFor: (account: string | undefined) => boolean;
  /** It answered 5xx to another attempt. True when it counts as failing. */
  failedForOther: () => boolean;
  /** It works. Returns how often it failed before, in a row. */
  answered: () => number;
}>;

export function createProxyPace(): ProxyPace {
  let atOnce = 1;
  /** Of the proxy, in a row. */
  let failures = 0;
  /** Since it answered last: whose first attempt with a token that it took before got a 5xx. */
  const refusedAccounts = new Set<string | undefined>();
  /** By performance.now(), which no clock set back can make far away. */
  let pausedUntil = Number.NEGATIVE_INFINITY;

  const pause = (seconds: number): void => {
    pausedUntil = performance.now() + seconds * 1000;
  };
  const fail = (maxPause: number): void => {
    atOnce = 1;
    pause(Math.min(maxPause, 2 ** Math.min(failures, 10)));
    failures += 1;
  };
  const answeredBadly = (): boolean => {
    if (failures === 0 && refusedAccounts.size < ACCOUNTS_OF_A_FAILURE) return false;
    fail(MAX_ANSWERED_PAUSE_S);
    return true;
  };

  return {
    isFailing: () => failures > 0,
    mayBegin(isKnown, { known, unknown }) {
      if (performance.now() < pausedUntil) return false;
      if (failures > 0) return known + unknown === 0;
      return isKnown ? known < atOnce : unknown < Math.min(atOnce, MAX_UNKNOWN_AT_ONCE);
    },
    pauseLeft: () => pausedUntil - performance.now(),
    pause,
    failed: () => fail(MAX_PAUSE_S),
    failedFor(account) {
      refusedAccounts.add(account);
      return answeredBadly();
    },
    failedForOther: answeredBadly,
    answered() {
      const before = failures;
      refusedAccounts.clear();
      failures = 0;
      atOnce = Math.min(MAX_AT_ONCE, atOnce + 1);
      return before;
    },
  };
}
