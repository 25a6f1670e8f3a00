/** Has a task done by an Effects, and tells the outcome as events. Called by app.ts. */
import { errorWords } from "../error-words.ts";
import { REDRAW_MILLISECONDS } from "../live-line.ts";
import { noteRate, type ProgressEvent, paceText } from "../progress.ts";
import { createRate, type Rate } from "../rate.ts";
import type { Effects, Task, TaskFollow, TaskResult } from "./effects.ts";
import type { Event } from "./state.ts";

export type TaskTarget = Readonly<{
  dispatch: (event: Event) => void;
  /** Ends the wizard by an error that nobody foresaw. */
  fail: (error: unknown) => void;
  /** Aborted when the person does not want it any more: the task ends where it may, and its end is told. */
  stop: AbortSignal;
  /** Aborted when nobody waits for its end: then nothing is told. */
  dropped: AbortSignal;
  /** Every renewal is read aloud. */
  isSpoken: boolean;
}>;

/** Ten renewals a second look smooth; a screen reader needs its time for each. */
const RENEW_MILLISECONDS = 100;
const SPEAK_MILLISECONDS = 15_000;

export async function runTask(
  effects: Effects,
  task: Task,
  number: number,
  { dispatch, fail, stop, dropped, isSpoken }: TaskTarget,
): Promise<void> {
  const pause = isSpoken ? SPEAK_MILLISECONDS : RENEW_MILLISECONDS;
  let shown: { progress: ProgressEvent; since: number; at: number; rate: Rate } | undefined;
  const report = (progress: ProgressEvent) => {
    if (dropped.aborted) return;
    const at = performance.now();
    if (shown?.progress.stage !== progress.stage)
      shown = { progress, since: at, at: Number.NEGATIVE_INFINITY, rate: createRate() };
    shown.progress = progress;
    noteRate(shown.rate, progress, at);
    if (at - shown.at < pause) return;
    shown.at = at;
    dispatch({ type: "progress", number, progress, speed: paceText(progress, shown.rate, at - shown.since) });
  };
  // A stage may tell nothing for long: its seconds go on all the same, or its rate falls.
  const again = setInterval(() => shown && report(shown.progress), REDRAW_MILLISECONDS).unref();
  try {
    const result = await perform(effects, task, { report, signal: stop });
    if (!dropped.aborted) dispatch({ type: "done", number, result });
  } catch (error) {
    if (dropped.aborted) return;
    if (stop.aborted && isStop(error)) {
      dispatch({ type: "stopped", number });
      return;
    }
    const message = errorWords(error);
    if (message === undefined) fail(error);
    else dispatch({ type: "failed", number, message, isAccess: isAccess(error) });
  } finally {
    clearInterval(again);
  }
}

/** By the signal's own reason, or as Node's functions tell it. */
function isStop(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** As DnsProviderError tells it. */
function isAccess(error: unknown): boolean {
  return error instanceof Error && "problem" in error && error.problem === "credentials";
}

/** The table's types say that each function takes its task and gives its result; that cannot be said of a union. */
async function perform(effects: Effects, task: Task, follow: TaskFollow): Promise<TaskResult> {
  const work = effects[task.kind] as (task: Task, follow: TaskFollow) => Promise<object>;
  return { kind: task.kind, ...(await work(task, follow)) } as TaskResult;
}
