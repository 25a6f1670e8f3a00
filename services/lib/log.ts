/**
 * Log lines on stderr, one event a line, with the priority prefix that journald understands
 * (sd-daemon(3): "<3>" … "<7>"). Called by all services. What strangers sent is escaped, so nobody can
 * forge a line; passwords, tokens and message contents never belong into a log at all.
 */

/** Values that may stand beside a message; undefined ones are left out. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export type Log = Readonly<{
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** For what an operator should look at; `cause` adds the error's name, text and place. */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}>;

/** syslog(3) priorities. */
const priorities = { debug: 7, info: 6, warn: 4, error: 3 } as const;

/** One value may fill this many characters: a hostile sender must not fill the journal. */
const maxValueLength = 500;

/**
 * A log whose lines go to `write` (stderr unless given). Debug lines appear only when `debug` is true
 * (the environment's HOMING_DEBUG=1 by default).
 */
export function createLog(
  write: (line: string) => void = (line) => process.stderr.write(line),
  debug: boolean = process.env.HOMING_DEBUG === "1",
): Log {
  const emit = (priority: number, message: string, fields: LogFields = {}): void => {
    const pairs = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${key}=${formatValue(value)}`);
    write(`<${priority}>${escapeText(message)}${pairs.join("")}\n`);
  };
  return {
    debug: (message, fields) => {
      if (debug) emit(priorities.debug, message, fields);
    },
    info: (message, fields) => emit(priorities.info, message, fields),
    warn: (message, fields) => emit(priorities.warn, message, fields),
    error: (message, fields, cause) =>
      emit(
        priorities.error,
        message,
        cause === undefined ? fields : { ...fields, cause: describeError(cause) },
      ),
  };
}

/** The first line of what went wrong, the stack's place included, for a log line. */
export function describeError(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const place = cause.stack
    ?.split("\n")
    .find((line) => line.trimStart().startsWith("at "))
    ?.trim();
  return `${cause.name}: ${cause.message}${place === undefined ? "" : ` (${place})`}`;
}

function formatValue(value: string | number | boolean | undefined): string {
  if (typeof value !== "string") return String(value);
  const short = value.length > maxValueLength ? `${value.slice(0, maxValueLength)}…` : value;
  const escaped = escapeText(short);
  return /^[^\s"=]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('"', '\\"')}"`;
}

/** Control characters (line ends above all) and direction marks become \u escapes. */
function escapeText(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}
