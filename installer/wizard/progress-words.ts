/** A long task in two lines: how much of what is done and how fast, and the bar. Pure; drawn by steps/running.ts. */
import { amountText, type ProgressEvent } from "../progress.ts";

const BAR_WIDTH = 40;

export function progressLine(progress: ProgressEvent, speed: string): string {
  return `${progress.stage}${amountText(progress)}${speed}`;
}

/** Empty where nobody can know how much is left. */
export function progressBar({ done, total }: ProgressEvent, width = BAR_WIDTH): string {
  if (done === undefined || total === undefined || total <= 0) return "";
  const full = Math.round((Math.min(done, total) / total) * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)}`;
}
