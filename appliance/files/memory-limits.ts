/**
 * How much memory and how many processes a unit may have at most, and which goes first when there is none left at all: a
 * Raspberry Pi may have 512 MiB and no swap. Lines for [Service] sections (systemd.resource-control(5), systemd.exec(5)),
 * used by sandbox.ts for our own units and by debian-units.ts for Debian's.
 */

/**
 * Limits are for what a unit does wrong, not for its work, which has bounds of its own: the kernel then ends a process of
 * this unit, and systemd starts it again, instead of the machine standing still. An idle relay has 150 MB (capacity.ts):
 * at 512 MiB there is room for one unit at its limit beside all others.
 */
const usualMemory = "40%";
/** A program on Node has a dozen threads. */
const usualTasks = 64;

/**
 * oom_score_adj (proc_pid_oom_adj(5)), added in thousandths of the memory to what a process has: who goes when the machine
 * itself has none left, several units being below their limits.
 */
const scores = {
  /** Runs by a timer, and will run again. */
  errand: 500,
  /** Keeps nothing in memory that is not tried again: what it has under way comes once more. */
  service: 200,
  /** Nobody logs in without it, and nobody mends. */
  login: -500,
} as const;

export type MemoryRank = keyof typeof scores;

/** @param memory a size or a percentage of the machine's memory. */
export function limitLines(
  rank: MemoryRank,
  memory: string = usualMemory,
  tasks: number = usualTasks,
): string {
  return `MemoryMax=${memory}\nTasksMax=${tasks}\nOOMScoreAdjust=${scores[rank]}`;
}
