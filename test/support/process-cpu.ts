/**
 * How much of a processor a program has used so far (Linux, proc_pid_stat(5)), for tests and benches that go by work done
 * and not by a clock, which runs on while the computer is busy with other things.
 */
import { readFile } from "node:fs/promises";

/** Kernel clock ticks a second in /proc/PID/stat; USER_HZ is 100 on every architecture of Linux we run on. */
const TICKS_PER_SECOND = 100;

/** User and system time of all its threads, in seconds. Throws when there is no such process. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  // The program's name, in brackets, may hold anything; utime and stime are the 12th and 13th field behind it.
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
