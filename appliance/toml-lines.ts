/**
 * In which line of a TOML text (TOML 1.0) a key first stands, for the error texts of relay-config.ts; the parser
 * gives values only. Pure. Takes time in proportion to the text's length, whatever stands in it.
 */
import { parse } from "smol-toml";

/** Sections and their settings: what lies deeper has no line of its own in error texts. */
const MAX_DEPTH = 2;

/**
 * Strings (in which brackets and “#” mean nothing), comments, brackets, line ends, and all that is between.
 * A multi-line string may end with up to two quotes of its own in front of the three that close it.
 */
const tokens =
  /"""(?:[^\\]|\\[\s\S])*?"{3,5}|'''[\s\S]*?'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*'|#[^\n]*|[[\]{}\n]|[^"'#[\]{}\n]+/g;

type Statement = Readonly<{ text: string; line: number }>;

/**
 * A function that gives the line, counted from 1, in which the key path first stands; undefined when it is not
 * in the text. `text` must be valid TOML. Throws TomlError otherwise.
 */
export function tomlLines(text: string): (path: readonly string[]) => number | undefined {
  const lines = new Map<string, number>();
  const note = (path: readonly string[], line: number) => {
    const key = JSON.stringify(path);
    if (!lines.has(key)) lines.set(key, line);
  };
  const noteTable = (table: object, above: readonly string[], line: number) => {
    if (above.length >= MAX_DEPTH) return;
    for (const [key, value] of Object.entries(table)) {
      note([...above, key], line);
      if (isTable(value)) noteTable(value, [...above, key], line);
    }
  };
  let section: readonly string[] = [];
  for (const statement of statements(text)) {
    const table = parse(statement.text);
    if (statement.text.trimStart().startsWith("[")) {
      section = headerPath(table).slice(0, MAX_DEPTH);
      for (let depth = 1; depth <= section.length; depth++) note(section.slice(0, depth), statement.line);
    } else {
      noteTable(table, section, statement.line);
    }
  }
  return (path) => lines.get(JSON.stringify(path));
}

/** Cuts a TOML text into headers and settings: each ends with the first line end outside strings and brackets. */
function* statements(text: string): Generator<Statement> {
  let line = 1;
  let current = { text: "", line };
  let depth = 0;
  for (const [token] of text.replaceAll("\r\n", "\n").matchAll(tokens)) {
    if (token === "\n" && depth === 0) {
      if (current.text.trim() !== "") yield current;
      line++;
      current = { text: "", line };
      continue;
    }
    if (token === "[" || token === "{") depth++;
    if (token === "]" || token === "}") depth--;
    line += token.split("\n").length - 1;
    if (!token.startsWith("#")) current.text += token;
  }
  if (current.text.trim() !== "") yield current;
}

/** The names in a header: "[a.b]" and "[[a.b]]", parsed alone, have nothing but a and in it b. */
function headerPath(table: object): string[] {
  const path: string[] = [];
  for (let inner: unknown = table; isTable(inner); ) {
    const [entry] = Object.entries(inner);
    if (!entry) break;
    path.push(entry[0]);
    inner = entry[1];
  }
  return path;
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
