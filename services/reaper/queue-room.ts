/**
 * What Postfix' queue takes of the disk, as a script counts it each minute that may read the queue
 * (appliance/files/metrics-figures.ts), into a folder that is postfix' own. Called by main.ts.
 */
import { useOthersFile } from "../../appliance/others-file.ts";
import type { Log } from "../lib/log.ts";

/** What is older says nothing of now; the script goes through hundreds of thousands of messages in less. Milliseconds. */
const STALE_MS = 3_600_000;
/** It writes some 1.5 kB. */
const MAX_BYTES = 65_536;

/** In bytes: of all messages, and of those among them that are held back (homing-ctl account block), which no age ends. */
export type QueueBytes = Readonly<{ all: number; held: number }>;

/** @returns undefined when nobody has counted them yet, or lately. */
export function readQueueBytes(path: string, log: Log): QueueBytes | undefined {
  try {
    return useOthersFile(path, MAX_BYTES, ({ mtimeMs }, text) => {
      if (Math.abs(Date.now() - mtimeMs) > STALE_MS) return undefined;
      const states = [...text().matchAll(/^homing_mail_queue_bytes\{state="([a-z]+)"\} (\d+)$/gm)];
      if (states.length === 0) return undefined;
      const sum = (some: typeof states) => some.reduce((total, [, , bytes]) => total + Number(bytes), 0);
      return { all: sum(states), held: sum(states.filter(([, state]) => state === "hold")) };
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn("what the queue takes of the disk cannot be read", { cause: String(cause) });
    return undefined;
  }
}
