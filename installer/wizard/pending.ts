/**
 * What writes files and disks is let come to its end when the wizard is ended from outside (a closed terminal, SIGTERM):
 * nothing half-written stays then. Wraps an Effects for start.ts.
 */
import type { Effects, Task, TaskFollow } from "./effects.ts";

export type Pending = Readonly<{
  effects: Effects;
  /** Stops what is being written; resolves when that has cleaned up. */
  end: () => Promise<void>;
}>;

export function pending(effects: Effects): Pending {
  const ended = new AbortController();
  const open = new Set<Promise<unknown>>();
  const followed =
    <One extends Task, Result>(work: (task: One, follow: TaskFollow) => Promise<Result>) =>
    async (task: One, { report, signal }: TaskFollow): Promise<Result> => {
      const result = work(task, { report, signal: AbortSignal.any([signal, ended.signal]) });
      open.add(result);
      try {
        return await result;
      } finally {
        open.delete(result);
      }
    };
  return {
    effects: { ...effects, build: followed(effects.build), flash: followed(effects.flash) },
    async end() {
      ended.abort();
      await Promise.allSettled(open);
    },
  };
}
