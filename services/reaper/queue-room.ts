/**
 * What Postfix' queue takes of the disk, as a script counts it each minute that may read the queue
 * (appliance/files/metrics-figures.ts). Other services may write in that folder too. Called by main.ts.
 */
import { useOthersFile } from "../../appliance/others-file.ts";
import type { Log } from "../lib/log.ts";

/** What is older says nothing of now; the script goes through hundreds of thousands of messages in less. Milliseconds. */
const STALE_MS = 3_600_000;
/** It writes some 1.5 kB. */
const MAX_BYTES = 65_536;

/** @returns bytes; 0 when nobody has counted them yet, or lately. */
export function readQueueBytes(path: string, log: Log): number {
  try {
    return useOthersFile(path, MAX_BYTES, ({ mtimeMs }, text) => {
      if (Math.abs(Date.now() - mtimeMs) > STALE_MS) return 0;
      const states = text().matchAll(/^homing_mail_queue_bytes\{state="[a-z]+"\} (\d+)$/gm);
      return [...states].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn("what the queue takes of the disk cannot be read", { cause: String(cause) });
    return 0;
  }
}
