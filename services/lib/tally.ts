/**
 * Says in the log what may happen thousands of times a second: each kind at once the first time, then one line
 * with its count for every interval in which it went on, the last one too. Used by services/auth and services/web.
 */

/** Between two lines about one kind, in milliseconds. */
const defaultIntervalMs = 10_000;

/** Kinds counted apart, should their names hold something unforeseen (an error's text). */
const maxKinds = 50;
const otherKinds = "others";

export type Tally = Readonly<{
  note(kind: string): void;
  /** Says what was counted and not said yet: at the end of the process. */
  flush(): void;
}>;

/** @param say writes one line: `count` is how often it happened since the last line about `kind`. */
export function createTally(
  say: (kind: string, count: number) => void,
  intervalMs: number = defaultIntervalMs,
): Tally {
  const unsaid = new Map<string, number>();
  const sayRest = (kind: string): boolean => {
    const count = unsaid.get(kind) ?? 0;
    if (count > 0) say(kind, count);
    unsaid.set(kind, 0);
    return count > 0;
  };
  const watch = (kind: string): void => {
    setTimeout(() => {
      if (sayRest(kind)) watch(kind);
      else unsaid.delete(kind);
    }, intervalMs).unref();
  };
  return {
    note(name) {
      const kind = unsaid.has(name) || unsaid.size < maxKinds ? name : otherKinds;
      const count = unsaid.get(kind);
      unsaid.set(kind, (count ?? 0) + 1);
      if (count !== undefined) return;
      sayRest(kind);
      watch(kind);
    },
    flush() {
      for (const kind of unsaid.keys()) sayRest(kind);
    },
  };
}
