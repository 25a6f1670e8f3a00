/**
 * Counts what the metadata service keeps, for its counters, and forgets on this occasion what is too old, if a time
 * server has set the clock. Called by service.ts.
 */
import type { Counters } from "../lib/counters.ts";
import type { Log } from "../lib/log.ts";
import type { NotificationQueue } from "./notification-queue.ts";
import type { MetadataStore } from "./store.ts";

/** A look costs a millisecond with ten thousand accounts; an exporter is commonly asked so often. Milliseconds. */
const LOOK_EVERY_MS = 60_000;
/** For accounts that logged in within the last day, week, month. */
const activeDays = [1, 7, 30] as const;

/** Looks at once and then every minute, until `stop`. */
export function countMetadata(
  parts: Readonly<{
    counters: Counters;
    store: MetadataStore;
    queues: readonly NotificationQueue[];
    /** Whether a time server has set the clock. */
    isClockSynced: () => boolean;
    now: () => number;
    log: Log;
  }>,
): Readonly<{ stop: () => void }> {
  const { counters, store, queues, isClockSynced, now, log } = parts;
  const tokens = counters.gauge("homing_push_tokens", "Devices that gave a token by which they can be woken");
  const queued = counters.gauge("homing_push_queue", "Notifications that are not handed over yet");
  const active = counters.gauge(
    "homing_accounts_active",
    "Accounts that logged in on one of the last so many days (UTC), today included",
  );
  let hasFailed = false;
  const look = (): void => {
    try {
      count();
      hasFailed = false;
    } catch (cause) {
      if (!hasFailed) log.error("cannot count what the metadata service keeps", {}, cause);
      hasFailed = true;
    }
  };
  const count = (): void => {
    if (isClockSynced()) store.forgetExpired(now());
    const found = store.count(now(), activeDays);
    tokens.set(found.tokens);
    // None while the store is away: an old number tells more than a wrong one.
    for (const [i, count] of found.active.entries()) active.set(count, { days: String(activeDays[i]) });
    queued.set(queues.reduce((sum, queue) => sum + queue.size(), 0));
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
