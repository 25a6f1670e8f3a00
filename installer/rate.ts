/** How fast a long step gets on, and how long it will take. Called by installer/progress.ts. Pure: the clock is given. */

/** The rate is that of the last so many milliseconds: long enough to be steady, short enough to follow the line. */
const WINDOW_MILLISECONDS = 10_000;
/** No rate before: the first moments say nothing. */
const SETTLE_MILLISECONDS = 2000;
/** One sample in this time is enough. */
const SAMPLE_MILLISECONDS = 200;

export type Rate = Readonly<{
  /** Notes how much is done at a time (milliseconds from any origin). Less than before begins anew. */
  note: (time: number, done: number) => void;
  /** Units a second, lately; undefined as long as nobody can know. */
  perSecond: () => number | undefined;
}>;

export function createRate(): Rate {
  let samples: { time: number; done: number }[] = [];
  let latest: { time: number; done: number } | undefined;
  return {
    note(time, done) {
      if (latest && done < latest.done) samples = [];
      latest = { time, done };
      const last = samples.at(-1);
      if (!last || time - last.time >= SAMPLE_MILLISECONDS) samples.push(latest);
      // One that is older stays, so that a slow step has something to compare with.
      while (samples[1] && time - samples[1].time >= WINDOW_MILLISECONDS) samples.shift();
    },
    perSecond() {
      const first = samples[0];
      if (!first || !latest || latest.time - first.time < SETTLE_MILLISECONDS) return undefined;
      return ((latest.done - first.done) * 1000) / (latest.time - first.time);
    },
  };
}

/** "40 s", "3 min", "2 h": rounded up, for nobody minds to be done earlier. */
export function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.ceil(seconds))} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.ceil(minutes / 60)} h`;
}
