/**
 * What memory-limits.ts has a machine do to itself, over SSH: a process of one unit grows without end. What a script
 * says are lines of a name and a value.
 */

/** Runs a shell line on the machine as root; its output. */
export type RunOnMachine = (command: string) => Promise<string>;

/** Longer than it takes to fill half a gigabyte under emulation, when nobody ends what fills it. Seconds. */
const GROWTH_SECONDS = 60;

/** A service that runs all the time, and its main process: another number says that it was started again. */
export type RunningUnits = ReadonlyMap<string, string>;

/** Services of the machine; those that sessions of SSH bring with them are none of it. */
export async function runningUnits(run: RunOnMachine): Promise<RunningUnits> {
  const text = await run("systemctl show --property=Id,Slice,SubState,MainPID '*.service'");
  const units = text
    .trim()
    .split("\n\n")
    .map((block) => Object.fromEntries(block.split("\n").map((line) => line.split(/=(.*)/s))))
    .filter(({ Slice, SubState }) => Slice === "system.slice" && SubState === "running");
  return new Map(units.map(({ Id, MainPID }): [string, string] => [String(Id), String(MainPID)]));
}

export type Growth = Readonly<{
  /** Memory of the unit before, and its limit. Bytes; Infinity without one, and then nothing was made to grow. */
  before: number;
  limit: number;
  seconds: number;
  /** Names of the processes that the kernel ended, because the unit reached its limit. */
  killed: readonly string[];
  /** The same because the machine itself had no memory left: what limits are to prevent. */
  killedForMachine: readonly string[];
}>;

/**
 * A process in the unit's control group, as dear to the kernel as the unit's own, keeps all that it reads: tail(1) keeps a
 * line, and /dev/zero has no end of line.
 */
export async function growIn(run: RunOnMachine, unit: string): Promise<Growth> {
  const text = await run(`
cgroup=/sys/fs/cgroup/system.slice/${unit}
score=$(cat /proc/$(systemctl show --value --property=MainPID ${unit})/oom_score_adj)
# What may not be ended, as sshd, gives those that it starts the usual score.
[ "$score" -gt -1000 ] || score=0
echo "before $(cat $cgroup/memory.current)"
limit=$(cat $cgroup/memory.max)
echo "limit $limit"
[ "$limit" != max ] || exit 0
kills=$(dmesg | grep -c 'Killed process')
read -r start _ </proc/uptime
sh -c 'echo $$ >'$cgroup'/cgroup.procs && echo '$score' >/proc/$$/oom_score_adj &&
  exec timeout -s KILL ${GROWTH_SECONDS} tail /dev/zero' >/dev/null 2>&1
read -r end _ </proc/uptime
echo "start $start"
echo "end $end"
dmesg | grep 'Killed process' | tail -n +$((kills + 1)) |
  sed -n 's/.*Memory cgroup out of memory: Killed process [0-9]* (\\(.*\\)) total-vm.*/killed \\1/p
    s/.*\\] Out of memory: Killed process [0-9]* (\\(.*\\)) total-vm.*/machine \\1/p'`);
  const said = pairs(text);
  const value = (name: string) => Number(said.find(([key]) => key === name)?.[1]);
  const named = (name: string) => said.filter(([key]) => key === name).map(([, process]) => process);
  const limit = value("limit");
  return {
    before: value("before"),
    // "max" (the kernel's admin-guide/cgroup-v2.rst).
    limit: Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit,
    seconds: value("end") - value("start"),
    killed: named("killed"),
    killedForMachine: named("machine"),
  };
}

function pairs(text: string): [string, string][] {
  return text
    .trim()
    .split("\n")
    .map((line): [string, string] => {
      const [, name = "", value = ""] = /^(\S+) ?(.*)$/.exec(line) ?? [];
      return [name, value];
    });
}
