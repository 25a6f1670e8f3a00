/**
 * What a verb of homing-ctl is: one file in appliance/ctl/commands/ each, found by main.ts by its name.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { AskControl, AskControlLines } from "./control-client.ts";
import type { LastLogins } from "./last-logins.ts";

export type ProgramEnd = Readonly<{ code: number; stdout: string; stderr: string }>;

/** Where a command writes, and whom it asks. Tests pass their own. */
export type CtlIo = Readonly<{
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
  ask: AskControl;
  askLines: AskControlLines;
  /** Of services/metadata. `tell` hears once why days are not known. */
  lastLogins(tell: (problem: string) => void): LastLogins;
  /** Runs one of the device's programs to its end. @throws ControlError when it cannot be started. */
  run(program: string, args: readonly string[]): Promise<ProgramEnd>;
  /** The same for what says a lot: its lines. @throws ControlError, also when it fails at its end. */
  runLines(program: string, args: readonly string[]): AsyncIterable<string>;
  /** Whether the operator says yes to a question; never where nobody can be asked. */
  confirm(question: string): Promise<boolean>;
  /** Waits so many milliseconds. */
  pause(ms: number): Promise<unknown>;
  /** Has the page on the console made anew at its next look. */
  renewStatus(): Promise<void>;
  /** Unix time in seconds. */
  now: () => number;
}>;

export type CtlCommand = Readonly<{
  summary: string;
  /** What follows `homing-ctl ` in the usage line. */
  usage: string;
  /** What stands below the usage line in `homing-ctl VERB --help`. */
  help: string;
  /** @throws CtlUsageError for wrong arguments (exit 2); ControlError when it does not work, AttentionNeeded (exit 1). */
  run(args: readonly string[], io: CtlIo): Promise<void>;
}>;

/** The arguments make no sense: printed with the usage line, exit code 2. */
export class CtlUsageError extends Error {
  override name = "CtlUsageError";
}

/** All was told, and something of it needs the operator: exit code 1 without another word. */
export class AttentionNeeded extends Error {
  override name = "AttentionNeeded";
}

/** `parseArgs` of node:util, strict; what it refuses becomes a CtlUsageError. */
export function parseCtlArgs<Options extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS_"))
      throw new CtlUsageError(error.message.split(". ")[0] ?? error.message, { cause: error });
    throw error;
  }
}

/** What a terminal may obey or turn around instead of showing it; C1 (U+0080 to U+009F) is obeyed like ESC (ECMA-48 §5.3). */
const notPrinted = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text as one line for a terminal: others may have written it. What is no letter or sign becomes "�". */
export function terminalLine(text: string): string {
  return `${text.replaceAll(notPrinted, "\ufffd")}\n`;
}

/** One line of JSON, for programs; safe on a terminal as well, and nothing is lost (RFC 8259 §7). */
export function writeJson(io: CtlIo, value: unknown): void {
  const escaped = JSON.stringify(value).replaceAll(notPrinted, (sign) =>
    Array.from(
      { length: sign.length },
      (_, i) => `\\u${sign.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
  io.stdout.write(`${escaped}\n`);
}
