/**
 * What a verb of homing-ctl is: one file in appliance/ctl/commands/ each, found by main.ts by its name.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";
import type { AskControl } from "./control-client.ts";

/** Where a command writes, and whom it asks. Tests pass their own. */
export type CtlIo = Readonly<{
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
  ask: AskControl;
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
  /** @throws CtlUsageError for wrong arguments (exit 2); ControlError when it does not work (exit 1). */
  run(args: readonly string[], io: CtlIo): Promise<void>;
}>;

/** The arguments make no sense: printed with the usage line, exit code 2. */
export class CtlUsageError extends Error {
  override name = "CtlUsageError";
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

/** One line of JSON, for programs. */
export function writeJson(io: CtlIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value)}\n`);
}
