/** How the image builder tells how far it is; installer/progress.ts shows it. */

/** A new `stage` ends the one before. `done` and `total` are in `unit`; "bytes" are shown in megabytes. */
export type ProgressReport = (event: { stage: string; done?: number; total?: number; unit?: string }) => void;
