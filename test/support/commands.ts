/**
 * Running programs from tests: to their end with their output as text, or in the background tied to the
 * life of this process. Used by all helpers of ring 2.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

export type CommandResult = Readonly<{ code: number; stdout: string; stderr: string }>;

export type CommandOptions = Readonly<{
  /** Text for standard input; nothing by default. */
  input?: string;
  /** Give the result back whatever the exit code (by default anything but 0 throws). */
  anyExitCode?: boolean;
  /** Milliseconds until the program is killed and the call fails. */
  timeout?: number;
}>;

/** Longest a helper program (ip, mount, systemctl, …) may take, in milliseconds. */
const COMMAND_TIMEOUT = 60_000;

/** Runs a program to its end. Throws CommandError when it cannot start, takes too long or fails. */
export function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { input = "", anyExitCode = false, timeout = COMMAND_TIMEOUT } = options;
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { stdio: ["pipe", "pipe", "pipe"] });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, timeout);
    child.stdout.on("data", (chunk: Buffer) => output.stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.stderr.push(chunk));
    // A program that ends without reading its input closes the pipe: its exit code tells what matters.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new CommandError(command, `could not be started: ${error.message}`));
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(output.stdout).toString();
      const stderr = Buffer.concat(output.stderr).toString();
      if (timedOut) reject(new CommandError(command, `took longer than ${timeout} ms\n${stdout}${stderr}`));
      else if (code !== 0 && !anyExitCode)
        reject(new CommandError(command, `ended with code ${code}\n${stdout}${stderr}`));
      else resolve({ code: code ?? 1, stdout, stderr });
    });
  });
}

export class CommandError extends Error {
  constructor(command: readonly string[], what: string) {
    super(`${command.join(" ")}: ${what.trimEnd()}`);
    this.name = "CommandError";
  }
}

/**
 * Starts a program that runs until it is stopped, its output appended to a file. The kernel kills it when
 * this process dies, so that a broken test leaves nothing behind.
 */
export function startTied(command: readonly string[], outputFile: string): ChildProcess {
  const output = openSync(outputFile, "a");
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  return child;
}

/** Waits for the end of a started program. Throws when it has not ended after `timeout` milliseconds. */
export function waitForExit(child: ChildProcess, what: string, timeout: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} has not ended after ${timeout} ms`)), timeout);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
