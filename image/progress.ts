/** How the image builder tells how far it is; installer/progress.ts shows it. */

/**
 * A new `stage` ends the one before. `done` and `total` are in `unit`; "bytes" are shown in megabytes. `reused` of
 * `done` was there before and took no time.
 */
export type ProgressReport = (event: {
  stage: string;
  done?: number;
  total?: number;
  reused?: number;
  unit?: string;
}) => void;
