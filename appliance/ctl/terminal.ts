/** How homing-ctl asks its operator, and runs the device's programs. Called by main.ts. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import type { ProgramEnd } from "./command.ts";
import { ControlError } from "./control-client.ts";

/** More than doveadm says of one account. */
const maxOutputBytes = 10_000_000;

/** @throws ControlError when it cannot be started, or says too much. */
export function runProgram(program: string, args: readonly string[]): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { maxBuffer: maxOutputBytes }, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code === "number") resolve({ code, stdout, stderr });
      else reject(new ControlError(`${program}: ${error?.message}`, { cause: error }));
    });
  });
}

/** Its lines as they come; its complaints go to the operator. @throws ControlError when it cannot be started, or fails. */
export async function* runProgramLines(program: string, args: readonly string[]): AsyncIterable<string> {
  const child = spawn(program, [...args], { stdio: ["ignore", "pipe", "inherit"] });
  const end = once(child, "close").catch((cause) => {
    throw new ControlError(`${program}: ${cause.message}`, { cause });
  });
  // It is awaited below; a failure must not count as nobody's until then.
  end.catch(() => {});
  try {
    yield* createInterface({ input: child.stdout });
    const [code] = await end;
    if (code !== 0) throw new ControlError(`${program} failed`);
  } finally {
    child.kill();
  }
}

/** True for “yes” in full, typed at a terminal. */
export async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await asked.question(question)).trim().toLowerCase() === "yes";
  } finally {
    asked.close();
  }
}
