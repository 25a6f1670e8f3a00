/**
 * Reads deb822(5) text, the form of Debian's control files, package indexes and Release files: stanzas of
 * `Name: value` fields, separated by empty lines. Called by the other files of this folder.
 */

/** A stanza's fields; the names in lower case, because deb822(5) compares them without regard to case. */
export type Stanza = Map<string, string>;

/** The text is not deb822. */
export class Deb822Error extends Error {
  override name = "Deb822Error";
}

/**
 * All stanzas of a text. The lines of a folded or multiline field are joined by "\n", each without the blanks
 * around it. Lines that start with "#" are comments. Throws Deb822Error naming the line.
 */
export function parseStanzas(text: string): Stanza[] {
  const stanzas: Stanza[] = [];
  let stanza: Stanza | undefined;
  let field = "";
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line.startsWith("#")) continue;
    if (line.trim() === "") {
      stanza = undefined;
      continue;
    }
    if (line.startsWith(" ") || line.startsWith("\t")) {
      const before = stanza?.get(field);
      if (!stanza || before === undefined) {
        throw new Deb822Error(`line ${number} continues a field, but there is none: "${line}"`);
      }
      stanza.set(field, `${before}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 1) throw new Deb822Error(`line ${number} is not of the form "Name: value": "${line}"`);
    if (!stanza) {
      stanza = new Map();
      stanzas.push(stanza);
    }
    field = line.slice(0, colon).toLowerCase();
    if (stanza.has(field)) throw new Deb822Error(`line ${number} gives the field ${field} a second time`);
    stanza.set(field, line.slice(colon + 1).trim());
  }
  return stanzas;
}
