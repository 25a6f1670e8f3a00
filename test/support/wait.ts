/** Waiting for a condition, with a time limit and a message that says what was awaited. Used by all rings. */
import { setTimeout as delay } from "node:timers/promises";

/** How often a condition is looked at, in milliseconds: short against a boot, long against a look. */
const POLL_INTERVAL = 50;

/**
 * Looks at `condition` until it gives something other than undefined or false, and returns that.
 * Throws after `timeout` milliseconds, naming `what`; an error of the last look is the cause.
 */
export async function waitFor<T>(
  what: string,
  timeout: number,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const end = performance.now() + timeout;
  for (;;) {
    let cause: unknown;
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end)
      throw new Error(`waited ${timeout} ms in vain: ${what}`, cause === undefined ? {} : { cause });
    await delay(POLL_INTERVAL);
  }
}
