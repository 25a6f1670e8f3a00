/** Whether another process of this computer still runs. Called for files and locks that bear a process's number. */
import { readFileSync } from "node:fs";

/** Some process has the id; whether it is the one that was meant nobody can say. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return !hasEnded(processId);
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Linux keeps the number of a process that has ended until its parent asks; one whose parent is gone, in a container
 * without an init, keeps it for ever. The state stands behind the name, which may hold any character (proc_pid_stat(5)).
 */
function hasEnded(processId: number): boolean {
  if (process.platform !== "linux") return false;
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, "latin1");
    return /^ [ZXx]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch {
    return false; // hidden from this user, or gone by now: the next look tells
  }
}
