/** Compares a disk with what was to be written to it, byte by byte but for one range. Called by audit.ts. */
import type { ProgressReport } from "../progress.ts";
import type { ReadAt } from "./read-at.ts";

const BLOCK_BYTES = 1 << 20;
/** Differences that lie closer are told as one: a changed file would else fill the screen. In bytes. */
const GAP_BYTES = 4096;
/** After so many, more tell nobody anything. */
const MAX_RUNS = 20;

export type Run = Readonly<{ start: number; bytes: number }>;

export type DiskComparison = Readonly<{
  read: ReadAt;
  asBuilt: ReadAt;
  /** Of the longer one, in bytes. */
  length: number;
  /** A range that is compared otherwise, `end` exclusive. */
  skip: Readonly<{ start: number; end: number }>;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
}>;

/** Where the two differ, in ascending order, the first 20 places. */
export async function differingRuns(comparison: DiskComparison): Promise<Run[]> {
  const { read, asBuilt, length, skip, onProgress, signal } = comparison;
  const runs: { start: number; bytes: number }[] = [];
  const note = (at: number): boolean => {
    const last = runs.at(-1);
    if (last && at - (last.start + last.bytes) < GAP_BYTES) last.bytes = at + 1 - last.start;
    else if (runs.length === MAX_RUNS) return false;
    else runs.push({ start: at, bytes: 1 });
    return true;
  };
  for (let offset = 0; offset < length; offset += BLOCK_BYTES) {
    signal?.throwIfAborted();
    onProgress?.({ stage: "Reading the rest of the disk", done: offset, total: length, unit: "bytes" });
    const size = Math.min(BLOCK_BYTES, length - offset);
    if (offset >= skip.start && offset + size <= skip.end) continue;
    const [there, wanted] = await Promise.all([read(offset, size), asBuilt(offset, size)]);
    const from = Math.min(Math.max(skip.start - offset, 0), size);
    const to = Math.min(Math.max(skip.end - offset, 0), size);
    there.copy(wanted, from, from, to);
    if (there.equals(wanted)) continue;
    for (let at = 0; at < size; at++) if (there[at] !== wanted[at] && !note(offset + at)) return runs;
  }
  onProgress?.({ stage: "Reading the rest of the disk", done: length, total: length, unit: "bytes" });
  return runs;
}
