/**
 * What `./homing vm` tells while it waits: lines that stay, and on a terminal a last one that counts the seconds below
 * them. Called by commands/vm.ts.
 */
import { drawLine, elapsedText, isLive, type Output, REDRAW_MILLISECONDS } from "../live-line.ts";

export type WaitingLine = Disposable &
  Readonly<{
    /** A line that stays, or several. */
    note: (text: string) => void;
    /** Says what is waited for from now on; `hint` comes behind the seconds. */
    wait: (what: string, hint?: string) => void;
    /** Nothing is waited for any more. */
    end: () => void;
  }>;

/** `env` as isLive takes it; `now` gives milliseconds from any origin. */
export function createWaitingLine(
  output: Output,
  env: Readonly<Record<string, string | undefined>>,
  now: () => number = () => performance.now(),
): WaitingLine {
  const live = isLive(output, env);
  let waiting: { what: string; hint: string; since: number; timer: NodeJS.Timeout } | undefined;

  function draw(): void {
    if (waiting === undefined) return;
    drawLine(output, `… ${waiting.what}${elapsedText(now() - waiting.since)}${waiting.hint}`);
  }

  function end(): void {
    if (waiting === undefined) return;
    clearInterval(waiting.timer);
    waiting = undefined;
    drawLine(output, "");
  }

  return {
    note(text) {
      if (waiting !== undefined) drawLine(output, "");
      output.write(`${text}\n`);
      draw();
    },
    wait(what, hint = "") {
      end();
      if (!live) return;
      const timer = setInterval(draw, REDRAW_MILLISECONDS);
      // What is waited for keeps the process, not the line.
      timer.unref();
      waiting = { what, hint: hint === "" ? "" : `; ${hint}`, since: now(), timer };
      draw();
    },
    end,
    [Symbol.dispose]: end,
  };
}
