/**
 * How many messages may go on to SMTP from the processes in which Postfix waits for relays known by HTTPS
 * (appliance/files/postfix-master.ts): when a relay's web service stops, the first ones shall not wait for Postfix' next
 * attempt, one to two minutes; but how long SMTP takes, the other side decides. Pure but for the clock. Called by
 * courier.ts.
 */

/** Of the 60 processes; places.ts leaves 25 to what is not slow, and this some of these. */
export const MAX_GOING_ON = 15;
/** Of one sender, who may have chosen a domain for being slow. */
export const MAX_GOING_ON_OF_ONE = 5;
/**
 * Milliseconds after which one counts as over: the service hears of its beginning only. Ten minutes are SMTP's longest
 * wait, that for the answer to a message (smtp_data_done_timeout).
 */
export const GOING_ON_MS = 600_000;

/** @param now milliseconds of a clock that never goes back. */
export function createSmtpAfterHttps(now: () => number) {
  let begun: Readonly<{ sender: string; at: number }>[] = [];
  return {
    /** Whether one more of this sender may; if so, it counts. */
    mayGoOn: (sender: string): boolean => {
      begun = begun.filter(({ at }) => now() - at < GOING_ON_MS);
      const own = begun.filter((one) => one.sender === sender).length;
      if (begun.length >= MAX_GOING_ON || own >= MAX_GOING_ON_OF_ONE) return false;
      begun.push({ sender, at: now() });
      return true;
    },
  };
}
