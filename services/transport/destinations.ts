/**
 * Which way to a domain worked, so that not every message tries one that is not there. HTTPS is always the first choice
 * but where SMTP was seen to do it, and then for half an hour. Pure but for the clock. Called by courier.ts.
 */

/** As long as the reference relay holds on to SMTP. */
const SMTP_CHOICE_MS = 30 * 60_000;

/**
 * A message that was handed back to Postfix counts as delivered by SMTP when Postfix has not come to say the contrary
 * within so long: above the time it takes to find that nobody answers (smtp_connect_timeout × smtp_mx_address_limit).
 */
export const SMTP_FAILS_WITHIN_MS = 60_000;

/** A domain is some 200 bytes here. The oldest makes room. */
const MAX_DOMAINS = 5000;

type Known = { httpsAt?: number | undefined; handedBackAt?: number | undefined; noLargeAt?: number };

/** @param now milliseconds of a clock that never goes back. */
export function createDestinations(now: () => number) {
  const known = new Map<string, Known>();
  const renew = (domain: string, change: Known) => {
    const entry = { ...known.get(domain), ...change };
    known.delete(domain);
    known.set(domain, entry);
    if (known.size > MAX_DOMAINS) known.delete(known.keys().next().value!);
  };
  return {
    /** The way to try first. */
    choice: (domain: string): "https" | "smtp" => {
      const handedBackAt = known.get(domain)?.handedBackAt;
      if (handedBackAt === undefined) return "https";
      const age = now() - handedBackAt;
      return age >= SMTP_FAILS_WITHIN_MS && age < SMTP_FAILS_WITHIN_MS + SMTP_CHOICE_MS ? "smtp" : "https";
    },
    /** Whether it took a message by HTTPS, or said that it would, a short while ago. */
    isKnownByHttps: (domain: string): boolean => {
      const httpsAt = known.get(domain)?.httpsAt;
      return httpsAt !== undefined && now() - httpsAt < SMTP_CHOICE_MS;
    },
    httpsWorked: (domain: string) => renew(domain, { httpsAt: now(), handedBackAt: undefined }),
    httpsFailed: (domain: string) => renew(domain, { httpsAt: undefined }),
    /** It broke off a message that can be read once only, or would not have it: the next ones of that size go by SMTP. */
    largeFailed: (domain: string) => renew(domain, { noLargeAt: now() }),
    takesLarge: (domain: string): boolean => {
      const noLargeAt = known.get(domain)?.noLargeAt;
      return noLargeAt === undefined || now() - noLargeAt >= SMTP_CHOICE_MS;
    },
    /** Postfix has a message for the domain and will try SMTP. The first of several counts. */
    handedBack: (domain: string) => {
      const entry = known.get(domain);
      const isOld =
        entry?.handedBackAt === undefined ||
        now() - entry.handedBackAt >= SMTP_FAILS_WITHIN_MS + SMTP_CHOICE_MS;
      if (isOld) renew(domain, { handedBackAt: now() });
    },
    /** Postfix came back with one: SMTP did not do it. */
    smtpFailed: (domain: string) => renew(domain, { handedBackAt: undefined }),
  };
}

export type Destinations = ReturnType<typeof createDestinations>;
