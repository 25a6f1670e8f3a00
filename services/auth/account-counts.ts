/** Counts the accounts by state for Prometheus. Called by service.ts. */
import { accountStates } from "../../appliance/account-states.ts";
import type { Counters } from "../lib/counters.ts";
import type { Log } from "../lib/log.ts";
import type { AccountStore } from "./store.ts";

/** A look takes a millisecond per ten thousand accounts; an exporter is commonly asked so often. Milliseconds. */
const LOOK_EVERY_MS = 60_000;

/** Looks at once and then every minute, until `stop`. */
export function countAccounts(
  parts: Readonly<{ counters: Counters; store: Pick<AccountStore, "countByState">; log: Log }>,
): Readonly<{ stop: () => void }> {
  const accounts = parts.counters.gauge("homing_accounts", "Accounts by state.");
  let hasFailed = false;
  const look = (): void => {
    try {
      const counts = parts.store.countByState();
      for (const state of accountStates) accounts.set(counts.get(state) ?? 0, { state });
      hasFailed = false;
    } catch (cause) {
      if (!hasFailed) parts.log.error("cannot count the accounts", {}, cause);
      hasFailed = true;
    }
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
