// Runs npm and ends it in order. Called by installer/install-packages.mjs; plain JavaScript that Node 20 can run.
import { spawn, spawnSync } from "node:child_process";
import { constants } from "node:os";

/** What npm may still take after it was asked to end, in milliseconds. */
const END_MILLISECONDS = 2000;
const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP"];
const onWindows = process.platform === "win32";

/** Somebody asked for the end; `exitCode` is 128 and the signal's number, as in a shell. */
export class StoppedError extends Error {
  constructor(signal) {
    super("installing the npm packages was stopped. The same command goes on with it.");
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * Gives `work` a function that runs npm: (words, { cwd, env, quiet, limit, onStart }) resolves to { code, signal, late,
 * complaint }: the exit code, or the signal that ended it; whether it was killed because it took longer than `limit`
 * milliseconds; and what it complained of, if `quiet` keeps that from the terminal. It rejects with the system's error
 * when npm cannot be started. `onStart` gets its process id. Ctrl-C, SIGTERM and SIGHUP end the npm that runs, and
 * whatever it started, before this rejects with StoppedError.
 */
export async function withNpm(work) {
  let stopped;
  let current;
  const stop = (signal) => {
    // Whoever presses Ctrl-C twice does not want to wait.
    if (stopped !== undefined) return signal === "SIGINT" ? current?.kill() : undefined;
    stopped = signal;
    current?.end(signal);
  };
  for (const signal of stopSignals) process.on(signal, stop);
  try {
    return await work(async (words, options) => {
      if (stopped !== undefined) throw new StoppedError(stopped);
      const running = startNpm(words, options);
      current = running;
      const result = await running.result.finally(() => {
        current = undefined;
      });
      if (stopped !== undefined) {
        // What npm was just drawing.
        if (process.stderr.isTTY && process.env.TERM !== "dumb") process.stderr.write("\r\u001b[K");
        throw new StoppedError(stopped);
      }
      return result;
    });
  } finally {
    for (const signal of stopSignals) process.off(signal, stop);
  }
}

function startNpm(words, { cwd, env, quiet = false, limit, onStart = () => {} }) {
  // A process group of its own, which Windows does not have: one signal reaches whatever npm started.
  const options = {
    cwd,
    env,
    stdio: ["ignore", quiet ? "ignore" : 2, quiet ? "pipe" : 2],
    detached: !onWindows,
  };
  // On Windows npm is a batch file, which only the shell runs; words beside it would not be quoted (DEP0190).
  const child = onWindows
    ? spawn(["npm.cmd", ...words].join(" "), { ...options, shell: true })
    : spawn("npm", words, options);
  const kill = () => signalTree(child.pid, "SIGKILL");
  try {
    if (child.pid !== undefined) onStart(child.pid);
  } catch (error) {
    kill();
    throw error;
  }
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text) => {
    complaint += text;
  });
  let timer;
  let late = false;
  const limiter =
    limit &&
    setTimeout(() => {
      late = true;
      kill();
    }, limit);
  const result = new Promise((resolve, reject) => {
    child.once("error", (error) => {
      clearTimeout(limiter);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      clearTimeout(limiter);
      // It may have ended before those that it started.
      if (timer !== undefined && !onWindows) kill();
      resolve({ code, signal, late, complaint });
    });
  });
  return {
    result,
    kill,
    end(signal) {
      // The console of Windows has sent Ctrl-C to npm as well; there is no other way to ask.
      if (!onWindows) signalTree(child.pid, signal);
      timer = setTimeout(kill, END_MILLISECONDS);
    },
  };
}

/** Sends a signal to a process group; on Windows ends the process and its descendants. */
function signalTree(id, signal) {
  if (id === undefined) return;
  if (onWindows) {
    spawnSync("taskkill", ["/pid", String(id), "/T", "/F"], { stdio: "ignore" });
    return;
  }
  try {
    process.kill(-id, signal);
  } catch (error) {
    // Nobody is left of it; of a group whose members have all just ended macOS says EPERM.
    if (error.code !== "ESRCH" && error.code !== "EPERM") throw error;
  }
}
