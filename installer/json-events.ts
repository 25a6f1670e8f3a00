/**
 * Tells scripts what a long command does: one JSON object a line on standard output. Called by the commands that take
 * `--json` and show progress.
 */
import { print } from "./command.ts";
import type { ProgressEvent } from "./progress.ts";

export type JsonEvents = Readonly<{
  /** To be handed down as `onProgress`: the first and the last event of a stage, and some between them. */
  report: (event: ProgressEvent) => void;
  /** Tells the last event of a stage, if it was not told. */
  finish: () => void;
  /** Any other event; resolves when it is written. */
  tell: (event: Readonly<{ event: string }> & Readonly<Record<string, unknown>>) => Promise<void>;
}>;

/** A stage that goes on is told this often. */
const PROGRESS_MILLISECONDS = 1000;

/** `now` gives milliseconds from any origin. */
export function jsonEvents(
  output: NodeJS.WritableStream,
  now: () => number = () => performance.now(),
): JsonEvents {
  let last: ProgressEvent | undefined;
  let isLastTold = true;
  let toldAt = 0;

  const write = (event: object): Promise<void> => print(output, `${JSON.stringify(event)}\n`);
  const tellProgress = (event: ProgressEvent): void => {
    const { stage, done, total, reused, unit } = event;
    // A pipe that is closed is told at the end of the process, like that of any other command.
    write({ event: "progress", stage, done, total, reused, unit }).catch(() => {});
    isLastTold = true;
    toldAt = now();
  };
  const finishStage = (): void => {
    if (last && !isLastTold) tellProgress(last);
  };

  return {
    report(event) {
      const isNew = event.stage !== last?.stage;
      if (isNew) finishStage();
      last = event;
      isLastTold = false;
      if (isNew || now() - toldAt >= PROGRESS_MILLISECONDS) tellProgress(event);
    },
    finish: finishStage,
    tell(event) {
      finishStage();
      return write(event);
    },
  };
}
