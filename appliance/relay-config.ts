/**
 * Reads and writes relay.toml (TOML 1.0), the settings of a relay. The only place that reads settings: the
 * installer parses the file with it, the device does at every boot, and everything else receives the
 * finished RelayConfig. Pure: text in, settings or a list of problems out.
 */
import { parse as parseToml, TomlError } from "smol-toml";
import * as z from "zod";
import { parseDomain } from "./domain.ts";
import { nearestName } from "./nearest.ts";
import { relayConfigSchema } from "./relay-settings.ts";
import { settingNotes } from "./setting-notes.ts";
import { tomlLines } from "./toml-lines.ts";
import { tomlMistake } from "./toml-mistakes.ts";

/** All settings of a relay, validated. Sizes in bytes, times in the unit of the name. */
export type RelayConfig = z.output<typeof relayConfigSchema>;

/** Settings to write when a relay folder is made; everything left out takes its default. */
export type RelayOverrides = Omit<z.input<typeof relayConfigSchema>, "domain">;

/** relay.toml cannot be used. `problems` has one text each: place, what was found, what is allowed. */
export class RelayConfigError extends Error {
  override name = "RelayConfigError";
  readonly problems: readonly string[];
  constructor(fileName: string, problems: readonly string[]) {
    const count = problems.length === 1 ? "one mistake" : `${problems.length} mistakes`;
    super(`${fileName} has ${count}:\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

/** Far above any honest relay.toml or key; a larger one is a wrong file and is not even parsed. In bytes. */
export const maxRelayFileBytes = 65_536;
/** Found values longer than this are cut in error texts. */
const MAX_SHOWN_LENGTH = 60;

type Path = readonly (string | number)[];
type Table = Record<string, unknown>;

/** Parses relay.toml. `fileName` is for error texts only. Throws RelayConfigError with every problem found. */
export function parseRelayConfig(text: string, fileName: string): RelayConfig {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxRelayFileBytes) {
    throw new RelayConfigError(fileName, [
      `the file has ${bytes} bytes, at most ${maxRelayFileBytes} are allowed; is it the right file?`,
    ]);
  }
  const table = readToml(text, fileName);
  const problems: { line: number; text: string }[] = [];
  let lineOf: ReturnType<typeof tomlLines> | undefined;
  const add = (path: Path, problem: string) => {
    lineOf ??= tomlLines(text);
    const line = lineOf(path.filter((key) => typeof key === "string"));
    problems.push({ line: line ?? 0, text: `${line ? `line ${line}, ` : ""}${pathText(path)}: ${problem}` });
  };
  const input = toCamelCase(table, add);
  const result = relayConfigSchema.safeParse(input);
  if (!result.success) {
    for (const { path, problem } of issuesOf(result.error, input)) add(path, problem);
  }
  if (problems.length > 0 || !result.success) {
    throw new RelayConfigError(
      fileName,
      problems.sort((a, b) => a.line - b.line).map((problem) => problem.text),
    );
  }
  return result.data;
}

function readToml(text: string, fileName: string): Table {
  try {
    return parseToml(text, { unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = "", ...code] = error.message.split("\n");
    const advice = tomlMistake(text, error.line);
    const shown = code.filter((line) => line.trim() !== "").map((line) => `    ${line}`);
    throw new RelayConfigError(fileName, [
      [
        advice === undefined
          ? `line ${error.line}, column ${error.column}: ${reason.replace(/^Invalid TOML document: /, "not valid TOML, ")}`
          : `line ${error.line}: ${advice}`,
        ...shown,
      ].join("\n"),
    ]);
  }
}

/** Translates the known keys; every other key becomes a problem that names the nearest known one. */
function toCamelCase(table: Table, add: (path: Path, problem: string) => void): Table {
  const result: Table = {};
  for (const [key, value] of Object.entries(table)) {
    const known = findKey(relayConfigSchema.shape, key);
    if (!known) {
      add([key], unknownKeyText(key, undefined));
      continue;
    }
    const section = sectionOf(known);
    if (!section || !isTable(value)) {
      result[known] = value;
      continue;
    }
    const inner: Table = {};
    for (const [innerKey, innerValue] of Object.entries(value)) {
      const innerKnown = findKey(section.shape, innerKey);
      if (innerKnown) inner[innerKnown] = innerValue;
      else add([key, innerKey], unknownKeyText(innerKey, known));
    }
    result[known] = inner;
  }
  return result;
}

function unknownKeyText(key: string, section: string | undefined): string {
  const here = section ? `in [${snakeCase(section)}]` : "at the top of the file";
  const siblings = Object.keys((section ? sectionOf(section)?.shape : relayConfigSchema.shape) ?? {});
  const elsewhere = Object.keys(relayConfigSchema.shape).find(
    (other) => other !== section && findKey(sectionOf(other)?.shape ?? {}, key),
  );
  if (elsewhere) return `there is no such setting ${here}; it belongs into [${snakeCase(elsewhere)}]`;
  if (section && findKey(relayConfigSchema.shape, key)) {
    return `there is no such setting ${here}; it belongs at the top of the file, before the first [section]`;
  }
  const known = siblings.map(snakeCase);
  const nearest = nearestName(key, known);
  if (nearest) return `there is no such setting; did you mean “${nearest}”?`;
  return `there is no such setting; known ${here} are: ${known.join(", ")}`;
}

/** What zod found wrong with `input`, with the paths and words of the file. */
function issuesOf(error: z.ZodError, input: unknown): { path: Path; problem: string }[] {
  return error.issues.map(({ path, message, code }) => {
    const keys = path as Path;
    const problem = issueText(keys, code === "custom" ? message : undefined, valueAt(input, keys));
    return { path: keys.map(snakeKey), problem };
  });
}

function issueText(path: Path, message: string | undefined, found: unknown): string {
  if (message) return message;
  const setting = settingAt(path);
  const note = setting && settingNotes.get(setting);
  const allowed = note?.allowed ?? `a section, written as [${path.map(snakeKey).join(".")}]`;
  return found === undefined
    ? `it is missing; needed is ${allowed}`
    : `found ${describe(found)}; allowed: ${allowed}`;
}

/** The schema of the setting at a path of camelCase keys; list items belong to their list. */
function settingAt([first, second]: Path): z.ZodType | undefined {
  const section = sectionOf(String(first));
  const shape: Record<string, z.ZodType> = section ? section.shape : relayConfigSchema.shape;
  return shape[String(section ? second : first)];
}

/** The object schema behind a section's `.prefault({})`; undefined when the key is a plain setting. */
function sectionOf(key: string): z.ZodObject | undefined {
  const schema = (relayConfigSchema.shape as Record<string, z.ZodType>)[key];
  return schema instanceof z.ZodPrefault && schema.unwrap() instanceof z.ZodObject
    ? (schema.unwrap() as z.ZodObject)
    : undefined;
}

function findKey(shape: object, snakeKeyText: string): string | undefined {
  return Object.keys(shape).find((key) => snakeCase(key) === snakeKeyText);
}

function snakeCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function snakeKey(key: string | number): string | number {
  return typeof key === "string" ? snakeCase(key) : key;
}

/** "accounts.local_part_min_length", "ssh.authorized_keys, entry 2". */
function pathText(path: Path): string {
  const index = path.findIndex((key) => typeof key === "number");
  if (index < 0) return path.join(".");
  return `${path.slice(0, index).join(".")}, entry ${Number(path[index]) + 1}`;
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const key of path) {
    if (typeof current !== "object" || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[key];
  }
  return current;
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A found value in words of TOML. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Date) return `the date ${value.toISOString()}`;
  if (isTable(value)) return "a section";
  if (typeof value === "string") {
    const shown = value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value;
    return `the text ${JSON.stringify(shown)}`;
  }
  return String(value);
}

/**
 * The text of relay.toml: every setting with one comment line and its default, or the value of `overrides`.
 * Parsing it gives back the same settings. Throws DomainError, or RelayConfigError for a wrong override.
 */
export function renderRelayToml(domainName: string, overrides: RelayOverrides = {}): string {
  const domain = parseDomain(domainName);
  const parsed = relayConfigSchema.safeParse({ ...overrides, domain });
  if (!parsed.success) {
    const problems = issuesOf(parsed.error, overrides).map(
      ({ path, problem }) => `${pathText(path)}: ${problem}`,
    );
    throw new RelayConfigError("relay.toml", problems);
  }
  const lines = [
    "# The settings of a relay. Everything after a “#” is a comment. The values below are the defaults unless",
    "# you changed them; a line left out means its default. ./homing build checks this file.",
    "",
  ];
  const values = parsed.data as Table;
  const keys = Object.keys(relayConfigSchema.shape);
  for (const key of keys.filter((name) => !sectionOf(name))) lines.push(...renderSetting([key], values[key]));
  for (const key of keys) {
    const section = sectionOf(key);
    if (!section) continue;
    lines.push(`[${snakeCase(key)}]`);
    for (const inner of Object.keys(section.shape)) {
      lines.push(...renderSetting([key, inner], (values[key] as Table)[inner]));
    }
    if (lines.at(-1) !== "") lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function renderSetting(path: readonly string[], value: unknown): string[] {
  const setting = settingAt(path);
  const note = setting && settingNotes.get(setting);
  if (!note) throw new Error(`the setting ${path.join(".")} has no note in appliance/relay-settings.ts`);
  return [`# ${note.comment}`, `${snakeCase(path.at(-1) ?? "")} = ${renderValue(value)}`, ""];
}

function renderValue(value: unknown): string {
  if (Array.isArray(value)) {
    return value.length === 0 ? "[]" : `[\n${value.map((item) => `  ${renderValue(item)},\n`).join("")}]`;
  }
  // Thousands stand apart with "_": 31_457_280 can be read, 31457280 must be counted.
  if (Number.isInteger(value)) return String(value).replaceAll(/\B(?=(\d{3})+$)/g, "_");
  // JSON's escapes are a subset of those of TOML's basic strings, but for DEL, which may not stand bare.
  if (typeof value === "string") return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  return String(value);
}
