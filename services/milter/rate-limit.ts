/**
 * How much each sender may send: the generic cell rate algorithm (ITU-T I.371, virtual scheduling), exact for
 * every sender. Time comes in as a parameter; memory is bounded by the table (rate-table.ts), and nobody is ever
 * dropped from it before the limit is restored. Called by outgoing.ts and key-lookup.ts.
 */
import { createRateTable, type RateTable } from "./rate-table.ts";

export type RateLimitSettings = Readonly<{
  /** Messages per minute in the long run. */
  perMinute: number;
  /** Messages at once after a silence. */
  burst: number;
}>;

export type RateLimit = Readonly<{
  /** Counts a message of this sender at `now` (milliseconds, never going back); false when it is one too many. */
  take(sender: string, now: number): boolean;
}>;

/**
 * @param table where the senders' times are kept; one that is kept in a file (rate-file.ts) outlives the process
 */
export function createRateLimit(
  { perMinute, burst }: RateLimitSettings,
  table: RateTable = createRateTable(),
): RateLimit {
  const interval = 60_000 / perMinute;
  /** How far the theoretical arrival time may lie ahead for a message to conform. */
  const tolerance = (burst - 1) * interval;
  return {
    take(sender, now) {
      const slot = table.find(sender, now);
      // Full of senders whose limit is not restored. Whoever is new waits: forgetting one would free it.
      if (slot === null) return false;
      // A time further ahead than the limit allows is of another limit or clock: it counts as "just used up".
      const latest = now + tolerance + interval;
      if (slot.arrival > latest) table.set(slot.index, latest);
      const arrival = Math.max(now, Math.min(slot.arrival, latest));
      if (arrival - now > tolerance) return false;
      table.set(slot.index, arrival + interval);
      return true;
    },
  };
}
