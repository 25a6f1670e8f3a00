/**
 * A machine of ring 2: the root file system booted by systemd-nspawn with its own network namespace, and
 * nothing of its own but what the folders bound into it hold, as on the device: the root is read-only with
 * an overlay in memory that every boot begins anew. Used by test/support/relay.ts.
 */
import type { ChildProcess } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CommandOptions, type CommandResult, runCommand, startTied, waitForExit } from "./commands.ts";
import { waitFor } from "./wait.ts";

export type ContainerOptions = Readonly<{
  name: string;
  /** Folder with the root file system. */
  root: string;
  /** File with the machine id to boot with, once there is one; the initramfs does the same on a device. */
  machineIdFile: string;
  /** Folders of the host by their place inside, writable. */
  binds: Readonly<Record<string, string>>;
  /** File of the network namespace. */
  networkNamespace: string;
  /** Cgroup folder to make the container's in. */
  cgroup: string;
  /** Console output is appended to this file, and the log of each boot when it ends. */
  logFile: string;
}>;

export type Container = Readonly<{
  /** Runs a command inside as root: a shell line, or a program with its arguments. Throws unless it ends with 0. */
  exec: (command: string | readonly string[], options?: CommandOptions) => Promise<CommandResult>;
  /** Shuts down in order and boots again; resolves when all units are up. */
  restart: () => Promise<void>;
  /** Ends everything at once, as a power cut does, and boots again. */
  powerCut: () => Promise<void>;
  /** Shuts down in order. */
  stop: () => Promise<void>;
}>;

/** From the start of the container to all units up. A boot takes 2–4 s on an idle machine. */
const BOOT_TIMEOUT = 120_000;
/** From the order to shut down to its end: above systemd's own 90 s for a unit that hangs. */
const STOP_TIMEOUT = 120_000;

/** Boots a container. Throws when a unit fails, with its log. */
export async function startContainer(options: ContainerOptions): Promise<Container> {
  let running: { nspawn: ChildProcess; leader: number } | undefined;

  const boot = async () => {
    const nspawn = startTied(nspawnCommand(options), options.logFile);
    try {
      const leader = await waitFor(`${options.name} starts`, BOOT_TIMEOUT, async () => {
        if (nspawn.exitCode !== null) throw new Error(`systemd-nspawn ended; see ${options.logFile}`);
        return await findLeader(nspawn.pid!);
      });
      running = { nspawn, leader };
      await waitForUnits();
    } catch (error) {
      if (running === undefined) nspawn.kill("SIGKILL");
      else await kill();
      throw error;
    }
  };

  const exec: Container["exec"] = (command, commandOptions) => {
    if (running === undefined) throw new Error(`${options.name} is not running`);
    const inside = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
    return runCommand(
      [
        ...["nsenter", "--all", "--target", String(running.leader), "--"],
        ...["env", "-i", "PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", "SYSTEMD_COLORS=0", ...inside],
      ],
      commandOptions,
    );
  };

  const waitForUnits = async () => {
    const state = await waitFor(`all units of ${options.name} are up`, BOOT_TIMEOUT, async () => {
      if (running?.nspawn.exitCode !== null) throw new Error(`it ended; see ${options.logFile}`);
      const question = await exec(["systemctl", "is-system-running", "--wait"], {
        anyExitCode: true,
        timeout: BOOT_TIMEOUT,
      });
      return /^(running|degraded|maintenance|stopping)$/.exec(question.stdout.trim())?.[0];
    });
    if (state === "running") return;
    const failed = await exec("systemctl --no-legend --plain list-units --failed", { anyExitCode: true });
    const journal = await exec("journalctl --no-pager --lines 60 --priority notice", { anyExitCode: true });
    throw new Error(`${options.name} came up ${state}:\n${failed.stdout}\n${journal.stdout}`);
  };

  const keepLog = async () => {
    const journal = await exec(["journalctl", "--no-pager", "--boot", "--output", "short-precise"]);
    appendFileSync(options.logFile, journal.stdout);
  };

  const kill = async () => {
    if (running === undefined) return;
    await keepLog();
    const { nspawn, leader } = running;
    running = undefined;
    const ending = waitForExit(nspawn, `systemd-nspawn of ${options.name}`, STOP_TIMEOUT);
    process.kill(leader, "SIGKILL");
    nspawn.kill("SIGKILL");
    await ending;
    // Its processes end with it; until they have, its ports are taken.
    await waitFor(`all processes of ${options.name} end`, STOP_TIMEOUT, () => !existsSync(`/proc/${leader}`));
  };

  const stop = async () => {
    if (running === undefined) return;
    await keepLog();
    const { nspawn } = running;
    running = undefined;
    const ending = waitForExit(nspawn, options.name, STOP_TIMEOUT);
    // nspawn answers SIGTERM by asking the init inside to shut down.
    nspawn.kill("SIGTERM");
    try {
      await ending;
    } catch (error) {
      nspawn.kill("SIGKILL");
      throw error;
    }
  };

  await boot();
  return {
    exec,
    stop,
    restart: async () => {
      await stop();
      await boot();
    },
    powerCut: async () => {
      await kill();
      await boot();
    },
  };
}

function nspawnCommand(options: ContainerOptions): string[] {
  const cgroup = join(options.cgroup, options.name);
  mkdirSync(cgroup, { recursive: true });
  appendFileSync(options.logFile, `--- ${options.name} boots ${new Date().toISOString()}\n`);
  // The init inside takes the cgroup it is started in for its root.
  const enterCgroup = `echo $$ > ${join(cgroup, "cgroup.procs")} && exec "$@"`;
  return [
    ...["sh", "-c", enterCgroup, "sh"],
    ...[
      "env",
      "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
      "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
      "systemd-nspawn",
    ],
    ...["--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--link-journal=no"],
    ...["--resolv-conf=off", "--timezone=off", `--directory=${options.root}`, "--volatile=overlay"],
    `--machine=${options.name}`,
    ...(existsSync(options.machineIdFile)
      ? [`--uuid=${readFileSync(options.machineIdFile, "utf8").trim()}`]
      : []),
    // The network namespace is ours, not the host's: the container may do everything in it.
    ...[`--network-namespace-path=${options.networkNamespace}`, "--capability=CAP_NET_ADMIN"],
    ...Object.entries(options.binds).map(([inside, outside]) => `--bind=${outside}:${inside}`),
  ];
}

/** The init of the container: the child of nspawn (in)directly that is number 1 in a PID namespace of its own. */
async function findLeader(nspawn: number): Promise<number | undefined> {
  for (const pid of await descendants(nspawn)) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    const ids = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
    if (ids.length > 1 && ids.at(-1) === "1") return pid;
  }
  return undefined;
}

async function descendants(pid: number): Promise<number[]> {
  const found: number[] = [];
  // Threads and processes may end while they are listed.
  for (const thread of await readdir(`/proc/${pid}/task`).catch(() => [])) {
    const children = await readFile(`/proc/${pid}/task/${thread}/children`, "utf8").catch(() => "");
    for (const child of children
      .split(" ")
      .filter((word) => word !== "")
      .map(Number)) {
      found.push(child, ...(await descendants(child)));
    }
  }
  return found;
}

export async function writeFiles(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  for (const [path, content] of files) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}
