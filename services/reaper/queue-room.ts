/**
 * What Postfix' queue takes of the disk, as a script counts it each minute that may read the queue
 * (appliance/files/metrics-figures.ts). Called by main.ts.
 */
import { readFileSync, statSync } from "node:fs";

/** What is older says nothing of now; the script goes through hundreds of thousands of messages in less. Milliseconds. */
const STALE_MS = 3_600_000;

/** @returns bytes; 0 when nobody has counted them yet, or lately. */
export function readQueueBytes(path: string): number {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || Math.abs(Date.now() - status.mtimeMs) > STALE_MS) return 0;
  const states = readFileSync(path, "utf8").matchAll(/^homing_mail_queue_bytes\{state="[a-z]+"\} (\d+)$/gm);
  return [...states].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}
