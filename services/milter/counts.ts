/**
 * What the milter counts, for Prometheus: verdicts by the door that a message came in by and the reason, and how long the
 * end of a message takes. Made by service.ts, told by session.ts.
 */
import type { Counters } from "../lib/counters.ts";
import { internalError, serverMisconfigured } from "./refusal.ts";

/**
 * In seconds. Without a question to the DNS a verdict takes a millisecond or two; with one, what a slow name server takes;
 * connection.ts gives up after two minutes.
 */
const DECISION_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30];

const unknownDoor = "unknown";

export type VerdictCounts = Readonly<{
  /** `outcome`: "accepted", or the reason of a refusal (refusal.ts). */
  verdict(daemon: string, outcome: string): void;
  /** From the last byte of a message to the verdict. */
  decided(seconds: number, daemon: string): void;
}>;

/** @param daemons the names that have rules; of any other only `unknownDoor` is noted, for a label may have few values. */
export function createVerdictCounts(
  counters: Pick<Counters, "counter" | "histogram">,
  daemons: ReadonlySet<string>,
): VerdictCounts {
  const verdicts = counters.counter(
    "homing_filter_verdicts_total",
    "Messages that the filter judged, by the door they came in by and what it said: “accepted” or why not.",
  );
  const decisions = counters.histogram(
    "homing_filter_decision_seconds",
    "From the last byte of a message to the verdict, questions to the DNS included.",
    DECISION_BOUNDS,
  );
  const door = (daemon: string) => (daemons.has(daemon) ? daemon : unknownDoor);
  // There from the start, for Prometheus takes no growth for one where a series begins, and these shall wake somebody.
  for (const daemon of [...daemons.keys(), unknownDoor])
    for (const { reason } of [internalError, serverMisconfigured])
      verdicts.add({ door: daemon, outcome: reason }, 0);
  return {
    verdict: (daemon, outcome) => verdicts.add({ door: door(daemon), outcome }),
    decided: (seconds, daemon) => decisions.observe(seconds, { door: door(daemon) }),
  };
}
