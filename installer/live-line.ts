/**
 * One line at the end of a terminal that renews itself. Called by progress.ts and vm/waiting-line.ts; in a file or a pipe,
 * and on a terminal that knows no control codes, they write plain lines instead.
 */

export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

const DEFAULT_COLUMNS = 80;

/** A line that stood still for longer would look as if all did. */
export const REDRAW_MILLISECONDS = 1000;

/** Whether a line can be taken back there. */
export function isLive(
  output: Output,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return output.isTTY === true && env.TERM !== "dumb";
}

/** Puts the text in the place of what the line showed. */
export function drawLine(output: Output, text: string): void {
  // Some terminals say that they have no width at all.
  const columns = output.columns || DEFAULT_COLUMNS;
  // Cut rather than wrapped: a wrapped line could not be taken back by one carriage return.
  output.write(`\r${text.slice(0, columns - 1)}\u001b[K`);
}

/** Seconds in full, as a line that is renewed every second counts them: " (12 s)"; nothing in the first. */
export function elapsedText(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  return seconds < 1 ? "" : ` (${seconds} s)`;
}
