/**
 * Changes settings in the text of a relay.toml and leaves everything else as its owner wrote it: comments, order,
 * line ends. Knows the plain form `key = "text"` below `[section]`, which renderRelayToml writes; whoever wrote it in
 * another way changes it by hand. Pure. Called by installer/dkim-rotation.ts.
 */
import { tomlLines } from "./toml-lines.ts";

/** The text cannot be changed safely; the message names the setting. */
export class TomlEditError extends Error {
  override name = "TomlEditError";
}

/**
 * Sets `key` in `[section]` to a text of letters, digits and “-” or to an empty one. A key that is missing is put
 * below the section's header, and a section that is missing at the end, with `comment` above the key.
 * Throws TomlEditError; and TomlError when the text is not valid TOML.
 */
export function setTomlText(
  text: string,
  setting: Readonly<{ section: string; key: string; value: string; comment: string }>,
): string {
  const { section, key, value, comment } = setting;
  if (!/^[a-z0-9-]*$/.test(value))
    throw new TomlEditError(`“${value}” cannot be written to ${section}.${key}`);
  const byHand = `cannot change ${section}.${key}: set it to "${value}" by hand`;
  const lineEnd = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = text.split("\n");
  const lineOf = tomlLines(text);
  const present = lineOf([section, key]);
  if (present !== undefined) {
    const line = lines[present - 1] ?? "";
    const changed = line.replace(
      new RegExp(`^([ \\t]*${key}[ \\t]*=[ \\t]*)(?:"[^"\\\\]*"|'[^']*')([ \\t]*(?:#.*)?\\r?)$`),
      `$1"${value}"$2`,
    );
    if (changed === line && !line.includes(`"${value}"`)) throw new TomlEditError(byHand);
    lines[present - 1] = changed;
    return lines.join("\n");
  }
  const added = [`# ${comment}`, `${key} = "${value}"`];
  const header = lineOf([section]);
  if (header === undefined) {
    const start = text === "" || text.endsWith("\n") ? text : `${text}${lineEnd}`;
    return `${start}${["", `[${section}]`, ...added, ""].join(lineEnd)}`;
  }
  const isHeader = new RegExp(`^[ \\t]*\\[[ \\t]*${section}[ \\t]*\\][ \\t]*(?:#.*)?\\r?$`);
  if (!isHeader.test(lines[header - 1] ?? "")) throw new TomlEditError(byHand);
  if (lines.length === header) lines.push("");
  const carriageReturn = lineEnd === "\r\n" ? "\r" : "";
  lines.splice(header, 0, ...[...added, ""].map((line) => `${line}${carriageReturn}`));
  return lines.join("\n");
}
