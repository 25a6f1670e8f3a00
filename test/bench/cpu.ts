/**
 * Who uses a relay's processor: CPU time of its cgroups (cgroups(7), cpu.stat) and of its processes (proc(5)),
 * for the benches that say where the load goes.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";

/** Kernel clock ticks a second in /proc/PID/stat; USER_HZ is 100 on every architecture of Linux we run on. */
const TICKS_PER_SECOND = 100;

/** The units whose processes are told apart by their names; of the others the unit says it all. */
const UNITS_OF_MANY_PROGRAMS = ["dovecot.service", "postfix.service"];

export type CpuTimes = Readonly<{
  /** All of the relay, those included that have ended. Milliseconds. */
  total: number;
  /** By unit, ended processes included. Milliseconds. */
  units: ReadonlyMap<string, number>;
  /** By process id and start: its name and its milliseconds. */
  processes: ReadonlyMap<string, Readonly<{ name: string; unit: string; milliseconds: number }>>;
}>;

/** Reads the times since boot of everything in a relay's cgroup folder. */
export async function readCpuTimes(cgroup: string): Promise<CpuTimes> {
  const units = new Map<string, number>();
  const processes = new Map<string, { name: string; unit: string; milliseconds: number }>();
  await readGroup(cgroup, undefined, units, processes);
  return { total: await usage(cgroup), units, processes };
}

async function readGroup(
  folder: string,
  unit: string | undefined,
  units: Map<string, number>,
  processes: Map<string, { name: string; unit: string; milliseconds: number }>,
): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(folder, entry.name);
    // A unit may keep groups of its own within its group.
    const isUnit = unit === undefined && entry.name.endsWith(".service");
    try {
      if (isUnit) units.set(entry.name, await usage(path));
      await readGroup(path, isUnit ? entry.name : unit, units, processes);
    } catch (error) {
      // A unit that ended, and its group with it.
      if (!["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  for (const pid of (await readFile(join(folder, "cgroup.procs"), "utf8")).split("\n").filter(Boolean)) {
    // Processes end while they are read.
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (stat === undefined) continue;
    const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(stat)!;
    const fields = rest!.split(" ");
    // proc_pid_stat(5): fields 14 utime, 15 stime, 22 starttime; `rest` begins with the third.
    const ticks = Number(fields[11]) + Number(fields[12]);
    processes.set(`${pid} ${fields[19]}`, {
      name: name!,
      unit: unit ?? basename(folder),
      milliseconds: (ticks * 1000) / TICKS_PER_SECOND,
    });
  }
}

async function usage(folder: string): Promise<number> {
  const microseconds = /^usage_usec (\d+)$/m.exec(await readFile(join(folder, "cpu.stat"), "utf8"))?.[1];
  if (microseconds === undefined) throw new Error(`${folder}/cpu.stat has no usage_usec`);
  return Number(microseconds) / 1000;
}

/**
 * Milliseconds by program between two readings, most first: for Postfix and Dovecot by process name, for the rest by
 * unit. What a unit used in processes that began or ended in between without being seen is its "(ended)".
 */
export function cpuShares(before: CpuTimes, after: CpuTimes): [program: string, milliseconds: number][] {
  const shares = new Map<string, number>();
  const add = (name: string, milliseconds: number) =>
    shares.set(name, (shares.get(name) ?? 0) + milliseconds);
  const used = (times: CpuTimes, unit: string) => times.units.get(unit) ?? 0;
  let known = 0;
  for (const unit of after.units.keys()) {
    const whole = used(after, unit) - used(before, unit);
    known += whole;
    const short = unit.replace(/\.service$/, "");
    if (!UNITS_OF_MANY_PROGRAMS.includes(unit)) {
      add(short, whole);
      continue;
    }
    let seen = 0;
    for (const [key, process] of after.processes) {
      if (process.unit !== unit) continue;
      const milliseconds = process.milliseconds - (before.processes.get(key)?.milliseconds ?? 0);
      seen += milliseconds;
      add(`${short}: ${process.name}`, milliseconds);
    }
    add(`${short}: (ended processes)`, Math.max(0, whole - seen));
  }
  add("rest of the system", Math.max(0, after.total - before.total - known));
  return [...shares].sort(([, x], [, y]) => y - x);
}
