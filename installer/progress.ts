/**
 * Shows how far a long command is: on a terminal one line per stage that renews itself, elsewhere (a file, a
 * CI log) plain lines. Commands hand `report` down as `onProgress`; image/ needs no import for it.
 */
import { drawLine, elapsedText, isLive, type Output, REDRAW_MILLISECONDS } from "./live-line.ts";
import { createRate, durationText, type Rate } from "./rate.ts";

/** What a long step tells while it works. A new `stage` ends the one before. */
export type ProgressEvent = Readonly<{
  /** What is going on, in a few words that make a line: "Downloading packages". */
  stage: string;
  /** How much is done, of `total`; both in `unit`. Leave both out where nobody can know. */
  done?: number;
  total?: number;
  /** So much of `done` was there before and took no time. */
  reused?: number;
  /** "bytes" is shown in MB with rate and time left; any other word is printed behind the numbers. */
  unit?: string;
}>;

export type Progress = Readonly<{
  report: (event: ProgressEvent) => void;
  /**
   * Ends the last stage: `ok` false leaves it marked as failed. Call it always, also after an error; what is reported
   * later by work that nobody awaits any more is not shown.
   */
  end: (ok?: boolean) => void;
}>;

/** Ten renewals a second look smooth and cost nothing. */
const RENEW_MILLISECONDS = 100;
/** A log gets a sign of life of a long stage this often. */
const LOG_MILLISECONDS = 15_000;

/** `now` gives milliseconds from any origin. */
export function createProgress(output: Output, now: () => number = () => performance.now()): Progress {
  const live = isLive(output);
  let ended = false;
  let current: { event: ProgressEvent; started: number; shown: number; rate: Rate } | undefined;
  let ticking: NodeJS.Timeout | undefined;

  /** The stage that is going on, on a terminal. */
  function draw(): void {
    if (!current) return;
    const { event, started, rate } = current;
    drawLine(output, `… ${event.stage}${amountText(event)}${paceText(event, rate, now() - started)}`);
  }

  /** Nothing was reported for a second: the seconds go on, and the rate falls. */
  function tick(): void {
    if (!current || now() - current.shown < RENEW_MILLISECONDS) return;
    noteRate(current.rate, current.event, now());
    current.shown = now();
    draw();
  }

  function closeStage(ok: boolean): void {
    clearInterval(ticking);
    if (!current) return;
    const seconds = ((now() - current.started) / 1000).toFixed(1);
    const line = `${ok ? "✓" : "✗"} ${current.event.stage}${amountText(current.event)} (${seconds} s)`;
    if (live) drawLine(output, line);
    output.write(live ? "\n" : `${line}\n`);
    current = undefined;
  }

  return {
    report(event) {
      if (ended) return;
      const time = now();
      if (current?.event.stage !== event.stage) {
        closeStage(true);
        current = { event, started: time, shown: time, rate: createRate() };
        noteRate(current.rate, event, time);
        if (!live) {
          output.write(`… ${event.stage}\n`);
          return;
        }
        draw();
        // The work keeps the process, not the line.
        ticking = setInterval(tick, REDRAW_MILLISECONDS).unref();
        return;
      }
      current.event = event;
      noteRate(current.rate, event, time);
      if (time - current.shown < (live ? RENEW_MILLISECONDS : LOG_MILLISECONDS)) return;
      current.shown = time;
      if (live) draw();
      else output.write(`… ${event.stage}${amountText(event)}${speedText(event, current.rate)}\n`);
    },
    end(ok = true) {
      closeStage(ok);
      ended = true;
    },
  };
}

/** What `work` gives, its stages shown; the last one is marked as failed when it throws. */
export async function withProgress<Result>(
  output: Output,
  work: (report: Progress["report"]) => Promise<Result>,
): Promise<Result> {
  const progress = createProgress(output);
  try {
    const result = await work(progress.report);
    progress.end();
    return result;
  } catch (error) {
    progress.end(false);
    throw error;
  }
}

/** ": 12.3 of 94.0 MB (13 %)", or nothing when nothing is counted. */
export function amountText({ done, total, unit }: ProgressEvent): string {
  if (done === undefined) return "";
  const inMegabytes = unit === "bytes";
  const show = (value: number) => (inMegabytes ? (value / 1e6).toFixed(1) : String(value));
  const word = inMegabytes ? " MB" : unit ? ` ${unit}` : "";
  if (total === undefined || total <= 0) return `: ${show(done)}${word}`;
  return `: ${show(done)} of ${show(total)}${word} (${Math.floor((100 * done) / total)} %)`;
}

export function noteRate(rate: Rate, { done, reused = 0 }: ProgressEvent, time: number): void {
  if (done !== undefined) rate.note(time, done - reused);
}

/** What behind a stage shows that it goes on: of bytes their speed, of anything else how long it is at it. */
export function paceText(event: ProgressEvent, rate: Rate, elapsedMilliseconds: number): string {
  return event.unit === "bytes" ? speedText(event, rate) : elapsedText(elapsedMilliseconds);
}

/** ", 2.1 MB/s, 40 s left", or nothing when it is not bytes that are counted or nobody can know yet. */
function speedText({ done, total, unit }: ProgressEvent, rate: Rate): string {
  const perSecond = rate.perSecond();
  if (unit !== "bytes" || done === undefined || perSecond === undefined) return "";
  const shown = `, ${rateText(perSecond)}`;
  if (total === undefined || perSecond <= 0 || done >= total) return shown;
  return `${shown}, ${durationText((total - done) / perSecond)} left`;
}

function rateText(bytesPerSecond: number): string {
  return bytesPerSecond < 100_000
    ? `${(bytesPerSecond / 1e3).toFixed(1)} kB/s`
    : `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
}
