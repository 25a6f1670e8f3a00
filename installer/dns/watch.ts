/**
 * Waits until every name server of the zone shows what was published, by checking again and again, less often as time
 * goes. Called after `dns apply` and by the wizard. I/O by check.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { SetName } from "../../appliance/dns/provider.ts";
import { checkDns } from "./check.ts";
import type { CheckOptions } from "./inquiry.ts";
import type { DnsReport } from "./report.ts";
import type { DesiredDns } from "./wanted.ts";

export type WatchOptions = CheckOptions &
  Readonly<{
    /** The sets that are awaited; all of them unless given. */
    awaited?: readonly SetName[];
    /** After each look. */
    onLook?: (state: WatchState) => void;
    /** Milliseconds; ten minutes unless given, or `publicationMinutes`. */
    limit?: number;
    /** What is known of the provider (ProviderDescription): where it is longer, the wait is. */
    publicationMinutes?: number | undefined;
    clock?: WatchClock;
  }>;

export type WatchState = Readonly<{
  /** How many of the awaited sets are right at every server. */
  done: number;
  total: number;
  report: DnsReport;
}>;

/** Milliseconds from any origin, and how to wait for some; for tests. */
export type WatchClock = Readonly<{
  now(): number;
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>;
}>;

/** Providers publish within a minute, a few every five or ten; those that take longer say so. */
const LIMIT_MINUTES = 10;
const MINUTE_MS = 60_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

const realClock: WatchClock = {
  now: () => performance.now(),
  wait: (milliseconds, signal) => delay(milliseconds, undefined, signal === undefined ? {} : { signal }),
};

/** The state at the last look: `done === total` when they all agree. Throws the signal's reason. */
export async function watchDns(desired: DesiredDns, options: WatchOptions): Promise<WatchState> {
  const { awaited, onLook, publicationMinutes = LIMIT_MINUTES, ...rest } = options;
  const { limit = publicationMinutes * MINUTE_MS, clock = realClock, signal, ...checkOptions } = rest;
  const end = clock.now() + limit;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * 2)) {
    const report = await checkDns(desired, { ...checkOptions, ...(signal !== undefined && { signal }) });
    const records = report.records.filter(
      ({ name, type }) => awaited?.some((set) => set.name === name && set.type === type) ?? true,
    );
    const total = records.length;
    const state = { done: records.filter((record) => record.state === "ok").length, total, report };
    onLook?.(state);
    // Without a delegation nobody sees the zone, and whoever mends that needs longer.
    if (state.done === total || report.zone === null || clock.now() + pause > end) return state;
    await clock.wait(pause, signal);
    signal?.throwIfAborted();
  }
}
