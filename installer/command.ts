/**
 * What a verb of the command line is (`./homing VERB …`). Every file in installer/commands/ exports one as
 * `command`; installer/main.ts finds it by name, runs it and turns its errors into text and exit codes.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** Where a command writes, and how it hears that it shall stop. Tests pass their own. */
export type CommandIo = Readonly<{
  /** Where answers come from; commands ask nothing unless they say so. */
  stdin?: NodeJS.ReadableStream & { isTTY?: boolean };
  /** Results: what a script may want to read. */
  stdout: NodeJS.WritableStream & { isTTY?: boolean };
  /** Progress, warnings and errors. */
  stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted at Ctrl-C or SIGTERM. Pass it on, or call `signal.throwIfAborted()` between steps. */
  signal: AbortSignal;
}>;

export type Command = Readonly<{
  /** The verb, also the name of the file in installer/commands/. */
  name: string;
  /** One line for `./homing --help`. */
  summary: string;
  /** What follows `./homing ` in the usage line, for example "init DOMAIN [--dir DIR]". */
  usage: string;
  /** What `./homing help COMMAND` prints below the usage line: the options and what to expect. */
  help: string;
  /**
   * Does the work. Resolves to the exit code: 0 when it is done.
   * Throws UsageError for wrong arguments (exit 2). An error that carries a name of its own is printed as
   * one text (exit 1); any other error counts as a mistake of the program and is printed with its stack.
   */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}>;

/** The arguments make no sense: printed with the verb's usage line, exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Writes to the output and waits until it is there. Rejects with the system's error: disk full, pipe closed. */
export function print(output: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** `parseArgs` of node:util, strict; what it refuses becomes a UsageError. */
export function parseCommandArgs<Options extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    if (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS_")) {
      // Node adds advice about "--" in further sentences; the first one says what is wrong.
      throw new UsageError(error.message.split(". ")[0] ?? error.message, { cause: error });
    }
    throw error;
  }
}
