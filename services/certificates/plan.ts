/**
 * When to ask the authority again, and for what: back-off after failures, the time to renew, limits on how much is
 * asked for. Every limit is below those of Let's Encrypt, so that a relay can never use them up. Pure; called by
 * look.ts with the state (state.ts) and the clock.
 */
import type { CertificateChain } from "../../appliance/certificate-chain.ts";
import { LONGEST_PLAN_DAYS } from "../../appliance/files/certificates.ts";
import type { RenewalWindow } from "./authority.ts";
import type { CertificateState, Failure } from "./state.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * After a failure the authority is left alone, ever longer. Let's Encrypt allows five failed validations of a name an
 * hour: these are three in the first and one in the second. In milliseconds.
 */
const BACK_OFF = { first: 15 * MINUTE, longest: 12 * HOUR, jitter: 0.25 } as const;
/** Nothing is planned for later; what an authority's Retry-After says beyond that is asked again. */
const LONGEST_WAIT = (LONGEST_PLAN_DAYS - 1) * DAY;
/** Let's Encrypt issues five a week for the same names, and 50 for a registered domain. */
const MOST_A_WEEK = { ofSameNames: 4, inAll: 15 } as const;
/** Of the lifetime: renewal, and for those that live for days only, which leave less time to mend a failure. */
const RENEW_AT = { usual: 2 / 3, short: 1 / 2, shortDays: 10, jitter: 0.03 } as const;
/** No certificate is renewed earlier, whatever dates it has and whatever the authority suggests. In milliseconds. */
export const LEAST_AGE = 6 * HOUR;
/** Between two looks while nothing is wrong: whether there is an address now, or another name; renewal information. */
export const LOOK_AGAIN = { forAddress: 2 * MINUTE, forNames: HOUR, afterSilence: 6 * HOUR } as const;

/** When to try again after failures, in milliseconds since 1970. `random` is between 0 and 1. */
export function retryAt(
  { count, at, retryAfterMs = 0 }: Pick<Failure, "count" | "at" | "retryAfterMs">,
  random: number,
) {
  const base = Math.min(BACK_OFF.longest, BACK_OFF.first * 2 ** Math.min(count - 1, 20));
  const wait = Math.max(base * (1 + BACK_OFF.jitter * random), retryAfterMs);
  return Math.round(at + Math.min(wait, LONGEST_WAIT));
}

/**
 * The state without what lies in the future: it was written while the clock was ahead, as a machine's may be until it is
 * set over the network, and would keep the relay from its certificate until that date.
 */
export function withoutFuture(state: CertificateState, now: number): CertificateState {
  const { failure, refused, installed, renewal, issued, ...others } = state;
  return {
    ...others,
    ...(failure !== undefined && failure.at <= now && { failure }),
    refused: Object.fromEntries(Object.entries(refused).filter(([, { at }]) => at <= now)),
    ...(installed !== undefined && {
      installed: { ...installed, at: installed.at <= now ? installed.at : 0 },
    }),
    ...(renewal !== undefined && renewal.askAgainAt <= now + LONGEST_WAIT && { renewal }),
    issued: issued.filter(({ at }) => at <= now),
  };
}

/** When a certificate is to be renewed if the authority says nothing, in milliseconds since 1970. */
export function usualRenewal({ notBefore, notAfter }: CertificateChain, random: number): number {
  const lifetime = notAfter.getTime() - notBefore.getTime();
  const part = lifetime < RENEW_AT.shortDays * DAY ? RENEW_AT.short : RENEW_AT.usual;
  return Math.round(notBefore.getTime() + lifetime * (part - RENEW_AT.jitter * random));
}

/** A moment in the window that the authority suggests (RFC 9773 §4.2); the same one as long as the window is. */
export function renewalInWindow(
  { start, end }: RenewalWindow,
  before: CertificateState["renewal"],
  random: number,
): number {
  if (before !== undefined && before.start === start && before.end === end) return before.at;
  return Math.round(start + (end - start) * random);
}

/** Until when no more may be asked for, because so many were issued; undefined when it may be now. */
export function usedUpUntil(
  state: CertificateState,
  names: readonly string[],
  now: number,
): number | undefined {
  const wanted = nameKey(names);
  const recent = state.issued.filter(({ at }) => at > now - 7 * DAY && at <= now);
  const same = recent.filter((issued) => nameKey(issued.names) === wanted);
  if (same.length >= MOST_A_WEEK.ofSameNames) return same.at(-MOST_A_WEEK.ofSameNames)!.at + 7 * DAY;
  if (recent.length >= MOST_A_WEEK.inAll) return recent.at(-MOST_A_WEEK.inAll)!.at + 7 * DAY;
  return undefined;
}

/** Those that count for the limits. */
export function recentlyIssued(state: CertificateState, now: number): CertificateState["issued"] {
  return state.issued.filter(({ at }) => at > now - 7 * DAY && at <= now);
}

/**
 * When to look again, in milliseconds since 1970: at the earliest of the times given, not before a minute from now,
 * not after the longest plan.
 */
export function nextLook(now: number, times: readonly (number | undefined)[]): number {
  const earliest = Math.min(...times.filter((time) => time !== undefined));
  return Math.min(now + LONGEST_WAIT, Math.max(now + MINUTE, earliest));
}

export function nameKey(names: readonly string[]): string {
  return names.toSorted().join(" ");
}
