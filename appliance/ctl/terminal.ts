/** How homing-ctl asks its operator, and runs the device's programs. Called by main.ts. */
import { execFile } from "node:child_process";
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
