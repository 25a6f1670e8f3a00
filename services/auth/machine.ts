/**
 * Reads how busy and how full the machine is. Called before an account is made
 * (accounts.ts, sign-up.ts).
 */
import { readFile, statfs } from "node:fs/promises";
import { loadavg } from "node:os";
import type { MachineState } from "./rules.ts";

/** How long a look at the machine's load, memory and disk holds, in milliseconds: none of them jumps. */
const machineStateMs = 1_000;

/** @param mailDirectory any path on the file system that holds the mail. */
export async function readMachineState(mailDirectory: string): Promise<MachineState> {
  const [memory, disk] = await Promise.all([readFile("/proc/meminfo", "utf8"), statfs(mailDirectory)]);
  return {
    loadAverage: loadavg()[0] ?? 0,
    availableMemoryBytes: availableMemory(memory),
    freeDiskBytes: disk.bavail * disk.bsize,
    diskBytes: disk.blocks * disk.bsize,
    // Btrfs and others make room for files as they go, and say 0 of 0.
    freeFiles: disk.files === 0 ? Number.POSITIVE_INFINITY : disk.ffree,
  };
}

/** MemAvailable of /proc/meminfo (proc_meminfo(5)) in bytes. @throws Error when the line is missing. */
export function availableMemory(meminfo: string): number {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  if (kibibytes === undefined) throw new Error("/proc/meminfo has no line MemAvailable");
  return Number(kibibytes) * 1024;
}

/**
 * `read`, asked at most once a second; a failure is not held.
 * @param now a steady clock in milliseconds.
 */
export function holdMachineState(
  read: () => Promise<MachineState>,
  now: () => number,
): () => Promise<MachineState> {
  let held: { value: Promise<MachineState>; since: number } | undefined;
  return () => {
    if (held !== undefined && now() - held.since < machineStateMs) return held.value;
    const value = read();
    held = { value, since: now() };
    value.catch(() => {
      held = undefined;
    });
    return value;
  };
}
