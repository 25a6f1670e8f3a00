/** A line of text that is being typed: what each key does to it. Pure; called by state.ts. */

/** Longer than any token of a provider and any path of a system (PATH_MAX is 4096 bytes, people's are far below). */
export const MAX_FIELD_LENGTH = 1024;

export type Field = Readonly<{
  /** The characters (code points), so that the cursor never stands inside of one. */
  characters: readonly string[];
  /** How many of them stand before the cursor. */
  cursor: number;
  /** Why the last answer was not taken; shown at the field until something is typed. */
  problem: string | undefined;
}>;

export type FieldKey = "left" | "right" | "home" | "end" | "erase" | "erase-word" | "erase-all";

export function fieldWith(text: string): Field {
  const characters = [...text];
  return { characters, cursor: characters.length, problem: undefined };
}

export function fieldText(field: Field): string {
  return field.characters.join("");
}

/** Puts typed or pasted text at the cursor; line breaks and control characters of a pasted text are left out. */
export function insertText(field: Field, text: string): Field {
  const room = MAX_FIELD_LENGTH - field.characters.length;
  const added = [...text.replaceAll(/\p{Cc}/gu, "")].slice(0, room);
  if (added.length === 0) return field;
  return {
    characters: field.characters.toSpliced(field.cursor, 0, ...added),
    cursor: field.cursor + added.length,
    problem: undefined,
  };
}

export function pressKey(field: Field, key: FieldKey): Field {
  const { characters, cursor } = field;
  switch (key) {
    case "left":
      return { ...field, cursor: Math.max(0, cursor - 1) };
    case "right":
      return { ...field, cursor: Math.min(characters.length, cursor + 1) };
    case "home":
      return { ...field, cursor: 0 };
    case "end":
      return { ...field, cursor: characters.length };
    case "erase":
      return eraseFrom(field, Math.max(0, cursor - 1));
    case "erase-word":
      return eraseFrom(field, wordStart(characters, cursor));
    case "erase-all":
      return { characters: [], cursor: 0, problem: undefined };
  }
}

function eraseFrom({ characters, cursor }: Field, start: number): Field {
  return {
    characters: characters.toSpliced(start, cursor - start),
    cursor: start,
    problem: undefined,
  };
}

/** Where the word before the cursor begins, as a shell's Ctrl-W has it. */
function wordStart(characters: readonly string[], cursor: number): number {
  let start = cursor;
  while (start > 0 && characters[start - 1] === " ") start--;
  while (start > 0 && characters[start - 1] !== " ") start--;
  return start;
}
