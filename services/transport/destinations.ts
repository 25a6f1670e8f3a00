/**
 * Which way to a domain worked, so that not every message tries one that is not there. HTTPS is always the first choice
 * but where SMTP was seen to do it, and then for half an hour. Pure but for the clock. Called by courier.ts and known-ways.ts.
 */

import type { KnownWay } from "../../appliance/mail-routes.ts";

/** As long as the reference relay holds on to SMTP. */
const SMTP_CHOICE_MS = 30 * 60_000;

/**
 * A message that was left to Postfix counts as delivered by SMTP when Postfix has not come to say the contrary within so
 * long: above the time it takes to find that nobody answers (smtp_connect_timeout × smtp_mx_address_limit).
 */
export const SMTP_FAILS_WITHIN_MS = 60_000;

/**
 * A domain is some 200 bytes here. The oldest makes room, but never a relay for one that is none: of those anybody can name
 * as many as they like.
 */
const MAX_DOMAINS = 5000;

type Known = { httpsAt?: number | undefined; leftToSmtpAt?: number | undefined; noLargeAt?: number };

/** @param now milliseconds of a clock that never goes back. */
export function createDestinations(now: () => number) {
  /** The oldest first: those that took mail by HTTPS, and the others. */
  const relays = new Map<string, Known>();
  const others = new Map<string, Known>();
  const entryOf = (domain: string) => relays.get(domain) ?? others.get(domain);
  const isFresh = (entry: Known | undefined): boolean =>
    entry?.httpsAt !== undefined && now() - entry.httpsAt < SMTP_CHOICE_MS;
  const renew = (domain: string, change: Known) => {
    const entry = { ...entryOf(domain), ...change };
    relays.delete(domain);
    others.delete(domain);
    (isFresh(entry) ? relays : others).set(domain, entry);
    if (relays.size + others.size > MAX_DOMAINS) makeRoom();
  };
  const makeRoom = () => {
    const [oldest] = relays;
    const isRelay = oldest !== undefined && (others.size === 0 || !isFresh(oldest[1]));
    if (isRelay) relays.delete(oldest[0]);
    else others.delete(others.keys().next().value!);
  };
  /** What nothing is known of has nothing to lose. */
  const renewKnown = (domain: string, change: Known) => {
    if (entryOf(domain) !== undefined) renew(domain, change);
  };
  const choice = (domain: string): KnownWay => {
    const entry = entryOf(domain);
    const leftToSmtpAt = entry?.leftToSmtpAt;
    if (leftToSmtpAt === undefined || isFresh(entry)) return "https";
    const age = now() - leftToSmtpAt;
    return age >= SMTP_FAILS_WITHIN_MS && age < SMTP_FAILS_WITHIN_MS + SMTP_CHOICE_MS ? "smtp" : "https";
  };
  const isKnownByHttps = (domain: string): boolean => isFresh(entryOf(domain));
  const takesLarge = (domain: string): boolean => {
    const noLargeAt = entryOf(domain)?.noLargeAt;
    return noLargeAt === undefined || now() - noLargeAt >= SMTP_CHOICE_MS;
  };
  return {
    /** The way to try first. */
    choice,
    /** Whether it took a message by HTTPS, or said that it would, a short while ago. */
    isKnownByHttps,
    /** The domains of which one of both is known. What takes large messages by SMTP alone needs the way that has both. */
    knownWays: (): ReadonlyMap<string, KnownWay> => {
      const ways = new Map<string, KnownWay>();
      for (const domain of [...relays.keys(), ...others.keys()]) {
        if (isKnownByHttps(domain)) {
          if (takesLarge(domain)) ways.set(domain, "https");
        } else if (choice(domain) === "smtp") ways.set(domain, "smtp");
      }
      return ways;
    },
    /** What was known before a restart, as if it had been learned now. */
    restore: (ways: ReadonlyMap<string, KnownWay>) => {
      for (const [domain, way] of ways)
        renew(domain, way === "https" ? { httpsAt: now() } : { leftToSmtpAt: now() - SMTP_FAILS_WITHIN_MS });
    },
    httpsWorked: (domain: string) => renew(domain, { httpsAt: now(), leftToSmtpAt: undefined }),
    httpsFailed: (domain: string) => renewKnown(domain, { httpsAt: undefined }),
    /** It broke off a message that can be read once only, or would not have it: the next ones of that size go by SMTP. */
    largeFailed: (domain: string) => renew(domain, { noLargeAt: now() }),
    takesLarge,
    /** Postfix tries SMTP for a message to the domain. The first of several counts. */
    leftToSmtp: (domain: string) => {
      const entry = entryOf(domain);
      const isOld =
        entry?.leftToSmtpAt === undefined ||
        now() - entry.leftToSmtpAt >= SMTP_FAILS_WITHIN_MS + SMTP_CHOICE_MS;
      if (isOld) renew(domain, { leftToSmtpAt: now() });
    },
    /** Postfix came back with one: SMTP did not do it. */
    smtpFailed: (domain: string) => renewKnown(domain, { leftToSmtpAt: undefined }),
  };
}

export type Destinations = ReturnType<typeof createDestinations>;
