/**
 * Changes settings in the text of a relay.toml and leaves everything else as its owner wrote it: comments, order,
 * line ends. Knows the plain form `key = value` below `[section]`, which renderRelayToml writes; whoever wrote it in
 * another way changes it by hand. Pure. Called by installer/dkim-rotation.ts,
 * installer/set-wifi.ts and the wizard.
 */
import { parse, TomlError } from "smol-toml";
import { tomlLines } from "./toml-lines.ts";

/** The text cannot be changed safely; the message names the setting. */
export class TomlEditError extends Error {
  override name = "TomlEditError";
}

export type TomlSetting = Readonly<{
  /** Undefined for a setting above all sections. */
  section: string | undefined;
  key: string;
  value: string | boolean | readonly string[];
  /** Put above a key that is added. */
  comment: string;
}>;

const STRING = String.raw`"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*'`;
/** A text, yes or no, or a list of texts without comments in it: those would be lost. */
const VALUE = String.raw`(?:${STRING}|true|false|\[(?:${STRING}|[\s,])*\])`;

/**
 * Sets `key` in `[section]` to a text of letters, digits and “-” or to an empty one, as setTomlValue does. Throws
 * TomlEditError for any other; and TomlError when the text is not valid TOML.
 */
export function setTomlText(text: string, setting: TomlSetting & Readonly<{ value: string }>): string {
  const { section = "", key, value } = setting;
  if (!/^[a-z0-9-]*$/.test(value))
    throw new TomlEditError(`“${value}” cannot be written to ${section}.${key}`);
  return setTomlValue(text, setting);
}

/**
 * Sets `key` in `[section]`. A key that is missing is put below the section's header, or below the first setting of
 * the file, and a section that is missing at the end, with `comment` above the key.
 * Throws TomlEditError; and TomlError when the text is not valid TOML.
 */
export function setTomlValue(text: string, { section, key, value, comment }: TomlSetting): string {
  const shown = literal(value);
  const path = section === undefined ? [key] : [section, key];
  const byHand = `cannot change ${path.join(".")}: set it to ${shown} by hand`;
  const lineEnd = text.includes("\r\n") ? "\r\n" : "\n";
  const carriageReturn = lineEnd === "\r\n" ? "\r" : "";
  const lines = text.split("\n");
  const lineOf = tomlLines(text);
  const present = lineOf(path);
  if (present !== undefined) {
    const count = statementLines(lines, present - 1);
    const before = lines
      .slice(present - 1, present - 1 + count)
      .join("\n")
      .replaceAll(/\r$/gm, "");
    const parts = new RegExp(`^([ \\t]*${key}[ \\t]*=[ \\t]*)${VALUE}([ \\t]*(?:#[^\\n]*)?)$`).exec(before);
    if (parts === null) throw new TomlEditError(byHand);
    const changed = `${parts[1]}${shown}${parts[2]}`.split("\n").map((line) => line + carriageReturn);
    lines.splice(present - 1, count, ...changed);
    return lines.join("\n");
  }
  const added = [`# ${comment}`, ...`${key} = ${shown}`.split("\n")];
  const insert = (index: number, texts: readonly string[]) => {
    if (lines.length === index) lines.push("");
    lines.splice(index, 0, ...texts.map((line) => `${line}${carriageReturn}`));
    return lines.join("\n");
  };
  if (section === undefined) {
    const first = lines.findIndex((line) => /^[ \t]*[\w-]+[ \t]*=/.test(line));
    const header = lines.findIndex((line) => /^[ \t]*\[/.test(line));
    if (first < 0 || (header >= 0 && header < first)) return insert(0, [...added, ""]);
    return insert(first + statementLines(lines, first), ["", ...added]);
  }
  const header = lineOf([section]);
  if (header === undefined) {
    const start = text === "" || text.endsWith("\n") ? text : `${text}${lineEnd}`;
    return `${start}${["", `[${section}]`, ...added, ""].join(lineEnd)}`;
  }
  const isHeader = new RegExp(`^[ \\t]*\\[[ \\t]*${section}[ \\t]*\\][ \\t]*(?:#.*)?\\r?$`);
  if (!isHeader.test(lines[header - 1] ?? "")) throw new TomlEditError(byHand);
  return insert(header, [...added, ""]);
}

/** In how many lines the setting that begins in this line ends: as soon as it is a whole one. */
function statementLines(lines: readonly string[], start: number): number {
  for (let count = 1; start + count <= lines.length; count++) {
    try {
      parse(
        lines
          .slice(start, start + count)
          .join("\n")
          .replaceAll(/\r$/gm, ""),
      );
      return count;
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
    }
  }
  return 1;
}

function literal(value: TomlSetting["value"]): string {
  if (typeof value === "boolean") return String(value);
  // JSON's escapes are a subset of those of TOML's basic strings, but for DEL, which may not stand bare.
  if (typeof value === "string") return JSON.stringify(value).replaceAll("\u007f", "\\u007f");
  return value.length === 0 ? "[]" : `[\n${value.map((one) => `  ${literal(one)},\n`).join("")}]`;
}
