/**
 * A message's header as the milter sees it, and the limits it has to keep to. Names and values are "binary"
 * strings: one character per octet (latin1), so that what gets signed is exactly what was sent.
 */

export type HeaderField = Readonly<{
  name: string;
  /** With the space after the colon; folded lines are divided by "\n" and keep their white space. */
  value: string;
}>;

export const headerLimits = {
  /** A thousand recipients in To and an Autocrypt key fit several times; all of it is readable and stays in memory. */
  maxBytes: 256 * 1024,
  /** Far above real mail; fields are looked up by name once per signed name. */
  maxFields: 1000,
  /** Fields and continuation lines. Far above real mail, as the others. */
  maxLines: 10_000,
} as const;

export type HeaderList = Readonly<{
  fields: readonly HeaderField[];
  /** Takes a field; beyond a limit it is dropped and `tooLarge` becomes true. */
  add(name: string, value: string): void;
  tooLarge(): boolean;
  /** Why two programs could see two different headers here; null when all see the same. */
  problem(): string | null;
  /** The values of all fields of this name (lower case), outermost white space removed. */
  values(name: string): string[];
}>;

export function createHeaderList(): HeaderList {
  const fields: HeaderField[] = [];
  let bytes = 0;
  let lines = 0;
  let exceeded = false;
  let problem: string | null = null;
  return {
    fields,
    add(name, value) {
      bytes += name.length + value.length + ":\r\n".length;
      lines += 1 + countLineFeeds(value);
      if (
        exceeded ||
        fields.length === headerLimits.maxFields ||
        bytes > headerLimits.maxBytes ||
        lines > headerLimits.maxLines
      ) {
        exceeded = true;
        problem = "a header that is too large";
        return;
      }
      problem ??= fieldProblem(name, value);
      fields.push({ name: name.replace(/[ \t]+$/, ""), value });
    },
    tooLarge: () => exceeded,
    problem: () => problem,
    values: (name) =>
      fields.filter((field) => field.name.toLowerCase() === name).map((field) => trimSpace(field.value)),
  };
}

/**
 * A carriage return by itself, a line that does not begin with white space or holds nothing else: to some
 * programs the header ends there or another field begins (RFC 5322 §2.2, §4.2). NUL ends a text in others.
 */
function fieldProblem(name: string, value: string): string | null {
  if (!/^[!-9;-~]+[ \t]*$/.test(name)) return "a header field whose name is not one";
  if (value.includes("\0")) return "a NUL in the header";
  if (/\r(?!\n)/.test(value)) return "a bare carriage return in the header";
  if (/\n(?![ \t]+[^ \t\r\n])/.test(value)) return "a header line that is empty or belongs to no field";
  return null;
}

/** Without the white space of mail around it: not all that Unicode calls so. */
export function trimSpace(text: string): string {
  return text.replace(/^[ \t\r\n]+/, "").replace(/(?<![ \t\r\n])[ \t\r\n]+$/, "");
}

/** The octets of a binary string read as UTF-8, as in header values that people wrote (RFC 6532). */
export function fromBinary(text: string): string {
  return Buffer.from(text, "latin1").toString("utf8");
}

function countLineFeeds(value: string): number {
  let count = 0;
  for (let at = value.indexOf("\n"); at >= 0; at = value.indexOf("\n", at + 1)) count++;
  return count;
}
