/**
 * Gives memory back that a service no longer needs. V8 lets what the start left behind, or a burst of work, lie until it
 * needs the room itself, which on an idle relay is never. Called once by every program that stays in memory; Node's
 * `--expose-gc` (appliance/files/service-unit.ts) lets it.
 */

/** The start is over by then; milliseconds. */
const AFTER_START_MS = 20_000;

/** How often to look whether work has left something behind, in milliseconds. */
const LOOK_EVERY_MS = 600_000;

/** A collection takes 30 ms on a PC, half a second on the slowest Raspberry Pi: not for less than this. Bytes. */
const WORTH_IT_BYTES = 4 * 2 ** 20;

/**
 * Collects what nobody uses: soon after the start, and whenever the process has grown much since the last time. Does
 * nothing where Node was started without the flag.
 */
export function giveMemoryBack({ afterStartMs = AFTER_START_MS, lookEveryMs = LOOK_EVERY_MS } = {}): void {
  const { gc } = globalThis;
  if (gc === undefined) return;
  let least = Number.POSITIVE_INFINITY;
  const collect = (): void => {
    // What one collection lets go of, finalizers included, only the next one frees.
    for (let time = 0; time < 2; time++) gc({ type: "major", execution: "sync", flavor: "last-resort" });
    least = process.memoryUsage.rss();
  };
  setTimeout(collect, afterStartMs).unref();
  setInterval(() => {
    if (process.memoryUsage.rss() > least + WORTH_IT_BYTES) collect();
  }, lookEveryMs).unref();
}
