// Keeps two first starts from installing over each other. Called by installer/install-packages.mjs; plain JavaScript
// that Node 20 can run. The lock is the file .homing-setup: a line for the launcher that made it and one for its npm,
// each a process id and, where the system tells it, when that process began, by which a number that was given away
// again is known. npm's line leads its process group. Killed launchers leave both lock and npm, which goes on alone.
import { spawnSync } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A set-up that holds the lock longer than this is taken for stuck, in milliseconds. */
const SETUP_LOCK_MILLISECONDS = 600_000;
/** How often who waits looks, in milliseconds. */
const LOOK_MILLISECONDS = 200;

/**
 * Waits for the lock of the project in `folder`. Returns { nameNpm, release }: the first enters npm's process id, the
 * second gives the lock back. A lock of which nobody runs any more (power cut) is removed. Only who holds the second
 * lock does so, and looks once more: whoever saw the dead owner a moment ago must not remove the lock of the next one.
 * Throws with a mend when another set-up takes too long.
 */
export function takeSetupLock(folder) {
  const lock = join(folder, ".homing-setup");
  const removal = `${lock}.removal`;
  const started = Date.now();
  const told = new Set();
  for (;;) {
    const own = processLine(process.pid);
    if (createLock(lock, own)) {
      return {
        nameNpm: (id) => replaceLock(lock, `${own}\n${processLine(id)}`),
        release: () => rmSync(lock, { force: true }),
      };
    }
    const holder = lockHolder(lock);
    if (holder === "dead" && createLock(removal, own)) {
      if (lockHolder(lock) === "dead") rmSync(lock, { force: true });
      rmSync(removal, { force: true });
      continue;
    }
    // The dead one's place is just being taken.
    const who = holder === undefined || holder === "dead" ? "another start is installing" : holder;
    if (!told.has(who)) process.stderr.write(`homing: ${who}; waiting for its end\n`);
    told.add(who);
    if (Date.now() - started > SETUP_LOCK_MILLISECONDS) {
      throw new Error(
        `another set-up seems stuck; if none is running, delete ${lock} and ${removal} and start again`,
      );
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MILLISECONDS);
  }
}

/** Whether this process made the lock file; no two can. */
function createLock(lock, text) {
  try {
    writeFileSync(lock, text, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** Whoever reads it sees the old text or the new one. */
function replaceLock(lock, text) {
  writeFileSync(`${lock}.new`, text);
  renameSync(`${lock}.new`, lock);
}

/** Who has the lock, in words; "dead"; or undefined while its owner is just writing or removing it. */
function lockHolder(lock) {
  let lines;
  try {
    lines = readFileSync(lock, "utf8").split("\n");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  const [launcher, npm] = lines.map(readProcess);
  if (launcher === undefined) return undefined;
  if (isRunning(launcher)) return `another start is installing (process ${launcher.id})`;
  if (npm !== undefined && isGroupRunning(npm)) {
    return `the npm of a start that was killed still works (process ${npm.id})`;
  }
  return "dead";
}

/** "PID", or "PID START" where the system tells. */
function processLine(id) {
  return [id, startOf(id)].filter((word) => word !== undefined).join(" ");
}

function readProcess(line) {
  const [, id, start] = /^(\d+)(?: (.+))?$/.exec(line) ?? [];
  return Number(id) > 0 ? { id: Number(id), start } : undefined;
}

/** Whether that very process runs; as far as anybody can know where the system does not tell when it began. */
function isRunning({ id, start }) {
  if (!exists(id)) return false;
  const now = startOf(id);
  return now !== "ended" && (now === undefined || start === undefined || now === start);
}

/** The same for its group. No process gets the number of a group that still has members. */
function isGroupRunning(leader) {
  if (exists(leader.id)) return isRunning(leader);
  return process.platform !== "win32" && exists(-leader.id);
}

function exists(id) {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return error.code === "EPERM";
  }
}

/**
 * A word that no other process with this id shares. "ended": a Linux process that ended and waits for its parent to ask.
 * Undefined where nobody knows (Windows; a process that is hidden from this user).
 */
function startOf(id) {
  if (process.platform === "win32") return undefined;
  if (process.platform !== "linux") {
    const told = spawnSync("ps", ["-o", "lstart=", "-p", String(id)], {
      ...{ encoding: "utf8", env: { ...process.env, LC_ALL: "C", TZ: "UTC" } },
    });
    return told.stdout?.trim().replace(/\s+/g, " ") || undefined;
  }
  try {
    const stat = readFileSync(`/proc/${id}/stat`, "latin1");
    // Behind the name, which may hold any character (proc_pid_stat(5)): the state, and 19 fields later the ticks since boot.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (/^[ZXx]/.test(fields[0])) return "ended";
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}:${fields[19]}`;
  } catch {
    return undefined; // gone by now, which exists() tells the next time
  }
}
