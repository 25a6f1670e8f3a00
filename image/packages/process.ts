/** Whether another process of this computer still runs. Called by image/packages/part-file.ts. */

/** Some process has the id; whether it is the one that was meant nobody can say. */
export function isRunning(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
