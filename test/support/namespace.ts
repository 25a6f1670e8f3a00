/**
 * Runs a command in a world of its own: network, process-id and mount namespaces with private
 * /etc/resolv.conf and /etc/hosts. Ring 2 runs in one (test/relay/run.ts).
 *
 * When the command ends, or this program is killed in whatever way, the kernel ends every process inside
 * and drops every mount and interface with them; nothing has to be tidied up by the tests.
 * It comes in two stages: runInNamespace starts this file again in a mount namespace, where fillNamespace
 * makes the mounts and starts the command in the other namespaces.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { runCommand } from "./commands.ts";
import { waitFor } from "./wait.ts";

/** Where the test network's own DNS server listens, for everything inside the namespace. */
export const TEST_NAMESERVER = "10.77.0.254";

/**
 * Folder of a namespace: relays' data, mount points, clients' data. On a real disk, because fsync is a
 * part of what the tests measure. Its name ends in the process id of the namespace's keeper.
 */
const FOLDER_PARENT = "/var/tmp";
const FOLDER_PREFIX = "homing-test-";

const FOLDER_VARIABLE = "HOMING_TEST_FOLDER";
const STAGE_VARIABLE = "HOMING_TEST_STAGE";
/** From the end of the namespace to the end of its last process, in milliseconds. */
const END_TIMEOUT = 10_000;
const CGROUP_ROOT = "/sys/fs/cgroup";

export type TestNamespace = Readonly<{
  /** Scratch folder, removed with the namespace. */
  folder: string;
  /** A cgroup (v2) for the containers' cgroups, removed with the namespace. */
  cgroup: string;
}>;

/** The namespace this process runs in; undefined when it runs in none. */
export function currentNamespace(): TestNamespace | undefined {
  const folder = process.env[FOLDER_VARIABLE];
  if (folder === undefined) return undefined;
  return { folder, cgroup: join(CGROUP_ROOT, basename(folder)) };
}

/** Runs the command with this terminal; resolves to its exit code. */
export async function runInNamespace(command: readonly string[]): Promise<number> {
  await removeLeftFolders();
  const folder = join(FOLDER_PARENT, `${FOLDER_PREFIX}${process.pid}`);
  mkdirSync(folder);
  try {
    return await runToTheEnd(
      [
        ...["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "--"],
        ...[process.execPath, "--disable-warning=ExperimentalWarning", fileURLToPath(import.meta.url)],
        ...command,
      ],
      { [FOLDER_VARIABLE]: folder, [STAGE_VARIABLE]: "mount" },
      "SIGTERM",
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The second stage. */
async function fillNamespace(namespace: TestNamespace, command: readonly string[]): Promise<number> {
  await mountCgroups(namespace.cgroup);
  // What ip-netns(8) and systemd-nspawn keep there must not show on the host.
  await runCommand(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
  await bindFile(namespace.folder, "/etc/resolv.conf", `nameserver ${TEST_NAMESERVER}\noptions timeout:2\n`);
  await bindFile(namespace.folder, "/etc/hosts", "127.0.0.1 localhost\n");
  try {
    return await runToTheEnd(
      [
        ...["setpriv", "--pdeathsig", "KILL"],
        ...["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],
        // The shell is the namespace's init: it reaps orphans and ignores Ctrl-C, which the command gets too.
        ...["sh", "-c", 'ip link set lo up && "$@"; exit $?', "sh", ...command],
      ],
      { [STAGE_VARIABLE]: undefined },
      // unshare(1) itself ignores SIGTERM while its child runs; its death takes the child along.
      "SIGKILL",
    );
  } finally {
    // Killed processes take a moment to go.
    await waitFor("all processes of the namespace end", END_TIMEOUT, () =>
      /^populated 0$/m.test(readFileSync(join(namespace.cgroup, "cgroup.events"), "utf8")),
    );
    removeCgroups(namespace.cgroup);
  }
}

/** systemd-nspawn wants the unified hierarchy at its usual place, whatever the host has mounted there. */
async function mountCgroups(cgroup: string): Promise<void> {
  await runCommand(["mount", "-t", "cgroup2", "cgroup2", CGROUP_ROOT]);
  mkdirSync(cgroup);
}

function removeCgroups(cgroup: string): void {
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroups(join(cgroup, entry.name));
  }
  rmdirSync(cgroup);
}

async function bindFile(folder: string, path: string, content: string): Promise<void> {
  const file = join(folder, basename(path));
  writeFileSync(file, content);
  // A link into /run, as systemd-resolved makes it, leads nowhere here.
  if (!existsSync(path)) {
    const target = resolve(dirname(path), readlinkSync(path));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, "");
  }
  await runCommand(["mount", "--bind", file, path]);
}

/** Runs a command with this terminal; SIGTERM and SIGHUP to us end it by `endSignal`. */
function runToTheEnd(
  command: readonly string[],
  environment: Record<string, string | undefined>,
  endSignal: NodeJS.Signals,
): Promise<number> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: "inherit", env: { ...process.env, ...environment } });
    const end = () => child.kill(endSignal);
    // The terminal sends Ctrl-C to the whole group: the innermost command stops, we wait for it and clean up.
    const ignore = () => {};
    process.on("SIGINT", ignore).on("SIGTERM", end).on("SIGHUP", end);
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

/** Folders of keepers that were killed before they could remove them. */
async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(FOLDER_PARENT)) {
    const keeper = new RegExp(`^${FOLDER_PREFIX}(\\d+)$`).exec(name)?.[1];
    if (keeper === undefined || (Number(keeper) !== process.pid && isAlive(Number(keeper)))) continue;
    await rm(join(FOLDER_PARENT, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

if (process.env[STAGE_VARIABLE] === "mount" && process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await fillNamespace(currentNamespace()!, process.argv.slice(2));
}
