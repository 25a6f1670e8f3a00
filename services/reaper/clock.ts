/**
 * Whether the clock may be believed. Everything here goes by age, and a Raspberry Pi has no clock that runs without
 * power: it starts where it stopped, or at the day its image was made, until a time server answers. So nothing counts as
 * older than it can be shown to be; without what was kept of the last run (state.ts), as older than now. Pure; called by
 * main.ts.
 */
import { SECONDS_PER_DAY } from "./rules.ts";

/** Without a time server, so long may have passed since the last run; the timer comes every day. */
export const MOST_DAYS_WITHOUT_SYNC = 7;
/** With one: whoever was off for longer loses some weeks of punctuality, whoever was told a wrong year no mail. */
const MOST_DAYS_WITH_SYNC = 366;
/**
 * More days without a run than these were a pause: the relay was off, and nobody could log in or fetch anything, or the
 * clock was put forward by mistake. Only the first day of it counts, for a run comes a day after the last.
 */
const LONGEST_BREAK_DAYS = 2;
/** A step of the clock below this matters to nobody. Seconds. */
const LEAST_STEP = 3_600;
/** Starts with a wrong clock that are remembered: one a day for longer than most messages are kept. */
const MOST_DOUBTS = 64;
/** Pauses that are remembered; each is longer than two days. Beyond that the two oldest count as one. */
const MOST_PAUSES = 64;

/** Stamps between `from` and `to` were made by a clock that was behind; `real`: when it was set right. Unix seconds. */
export type Doubt = Readonly<{ from: number; to: number; real: number }>;

/** What seems to come from before `end` is younger than its stamp says by `seconds`, but no younger than `end`. */
export type Pause = Readonly<{ end: number; seconds: number }>;

/** What is kept from one run to the next. Unix seconds. */
export type ClockState = Readonly<{
  lastRun: number;
  /** Whether a time server had set the clock then. */
  wasSynced: boolean;
  /** What is older by its stamp counts as no older than this. */
  trustedSince: number;
  doubts: readonly Doubt[];
  /** In the order of their ends. Absent from what was kept before there were any. */
  pauses?: readonly Pause[];
  /** Stamps up to `upTo` were ahead of the clock when they were seen first, at `since`. */
  ahead?: Readonly<{ upTo: number; since: number }>;
}>;

export type ClockSigns = Readonly<{
  /** Unix seconds. */
  now: number;
  /** When a time server first set the clock in this boot; undefined when none has. */
  syncedAt: number | undefined;
  /** What the clock said early in this boot, and when that was by the clock of now. Unix seconds. */
  boot?: Readonly<{ clockSaid: number; was: number }>;
}>;

export type ClockJudgement = Readonly<{
  /** Why nothing may be deleted now. */
  refusal?: string;
  /**
   * The earliest moment at which something with such a stamp can have come. With `until`, for a stamp that was somewhere
   * from `stamp` to `until`: the latest of those moments.
   */
  cameAt(stamp: number, until?: number): number;
  /** To be kept, refusal or not. */
  state(): ClockState;
}>;

export function judgeClock(signs: ClockSigns, last: ClockState | undefined): ClockJudgement {
  const { now, syncedAt } = signs;
  const isSynced = syncedAt !== undefined;
  const doubts = [...(last?.doubts ?? []), ...newDoubt(signs)]
    .filter((doubt, i, all) => all.findIndex(({ from }) => from === doubt.from) === i)
    .slice(-MOST_DOUBTS);
  let { upTo, since } = last?.ahead ?? { upTo: 0, since: 0 };
  const judge = (trustedSince: number, pauses: readonly Pause[], refusal?: string): ClockJudgement => ({
    ...(refusal !== undefined && { refusal }),
    cameAt(stamp, until = stamp) {
      if (stamp > now) {
        // A clock that ran ahead made it. It is at least as old as the first look at it.
        if (stamp > upTo) {
          upTo = stamp;
          since = now;
        }
        return since;
      }
      const real = doubts.filter(({ from, to }) => from <= until && stamp <= to).map((doubt) => doubt.real);
      return Math.min(now, Math.max(withoutPauses(until, pauses), trustedSince, ...real));
    },
    state: () => ({
      lastRun: now,
      wasSynced: isSynced,
      trustedSince,
      doubts,
      pauses,
      ...(upTo > now && { ahead: { upTo, since } }),
    }),
  });

  // Of a new relay this makes nothing younger. Where the notes were lost, nobody knows for how long it was off.
  if (last === undefined)
    return judge(
      now,
      [],
      isSynced ? undefined : "this is the first run, and no time server has set the clock yet",
    );
  const days = (now - last.lastRun) / SECONDS_PER_DAY;
  const most = isSynced ? MOST_DAYS_WITH_SYNC : MOST_DAYS_WITHOUT_SYNC;
  const words = isSynced ? "" : ", and no time server has set it";
  if (days > most) return judge(now, [], `the clock is ${Math.floor(days)} days after the last run${words}`);
  const isBack = days < -LEAST_STEP / SECONDS_PER_DAY;
  if (isBack && !isSynced) return judge(now, [], `the clock is before the last run${words}`);
  // What came while nobody knew the time has stamps of any age; so has what came while the clock ran ahead.
  if (isSynced && (last.wasSynced ? days < -1 : Math.abs(days) > 1)) return judge(now, []);
  const pauses = last.pauses ?? [];
  return judge(
    Math.min(last.trustedSince, now),
    days > LONGEST_BREAK_DAYS
      ? withPause(pauses, { end: now, seconds: (days - 1) * SECONDS_PER_DAY })
      : pauses,
  );
}

function withPause(pauses: readonly Pause[], next: Pause): readonly Pause[] {
  const all = [...pauses, next];
  if (all.length <= MOST_PAUSES) return all;
  const [first, second, ...others] = all as [Pause, Pause, ...Pause[]];
  return [{ end: second.end, seconds: first.seconds + second.seconds }, ...others];
}

/** The stamp as it would be, had the clock stood still in the pauses after it. */
function withoutPauses(stamp: number, pauses: readonly Pause[]): number {
  return pauses.reduce(
    (came, { end, seconds }) => (came < end ? Math.min(end, came + seconds) : came),
    stamp,
  );
}

/** The time from the start of the system until a time server put its clock forward. */
function newDoubt({ syncedAt, boot }: ClockSigns): Doubt[] {
  if (syncedAt === undefined || boot === undefined) return [];
  if (boot.was - boot.clockSaid < LEAST_STEP) return [];
  const lasted = Math.max(0, syncedAt - boot.was);
  return [{ from: boot.clockSaid, to: boot.clockSaid + lasted, real: syncedAt }];
}
