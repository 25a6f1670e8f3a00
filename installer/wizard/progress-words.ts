/** A long task in two lines: the bar, and how much of what is done. Pure; drawn by app.ts while a task runs. */
import { amountText, type ProgressEvent } from "../progress.ts";

const BAR_WIDTH = 40;

export function progressLine({ stage, ...amount }: ProgressEvent): string {
  return `… ${stage}${amountText({ stage, ...amount })}`;
}

/** Empty where nobody can know how much is left. */
export function progressBar({ done, total }: ProgressEvent, width = BAR_WIDTH): string {
  if (done === undefined || total === undefined || total <= 0) return "";
  const full = Math.round((Math.min(done, total) / total) * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)}`;
}
