/**
 * A file that is there while something was left undone: for the status page, whose look opens no file of others
 * (appliance/files/status.ts). In it stand the kinds of runs that left it, for a run of another kind does not come to what
 * they could not work on. Called by main.ts.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import type { RunMode } from "./run.ts";

/** Whose work a run does anew. A mailbox that a run for full ones could not work on stays noted for `room`. */
const comesTo: Readonly<Record<RunMode, readonly RunMode[]>> = {
  expire: ["expire", "full", "room", "leaving"],
  full: [],
  room: ["full", "room"],
  leaving: ["leaving"],
};

export async function noteFailures(path: string, mode: RunMode, failures: number): Promise<void> {
  const before = await readNote(path);
  const left = new Set(before.filter((one) => !comesTo[mode].some((done) => done === one)));
  if (failures > 0) left.add(mode);
  if (left.size > 0) await writeFile(path, [...left].join("\n"), { mode: 0o644 });
  else await rm(path, { force: true });
}

async function readNote(path: string): Promise<readonly string[]> {
  try {
    return (await readFile(path, "utf8")).split("\n").filter(Boolean);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  }
}
