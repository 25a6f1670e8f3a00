/**
 * What a step shows, apart from how it is drawn: steps/ make a View of the state, app.ts draws its lines. Text is
 * wrapped here, so that it is known how many rows a screen takes. Pure.
 */
import type { Finding } from "./effects.ts";

export type Tone = "plain" | "strong" | "quiet" | "good" | "note" | "warning" | "bad";

export type Block =
  | Readonly<{ kind: "text"; text: string; tone?: Tone }>
  | Readonly<{ kind: "finding"; finding: Finding }>
  /** One line to be read as it is: cut at the edge, never wrapped. */
  | Readonly<{ kind: "verbatim"; text: string; tone?: Tone }>
  /** One line that shows something to the eye and nothing to the ear. */
  | Readonly<{ kind: "drawing"; text: string }>
  /** Behind a sign, which is read aloud when it is a number; with all its lines below each other. */
  | Readonly<{ kind: "item"; text: string; sign: string }>
  /** For a shell: whole, and where it is broken it is still one line to it. */
  | Readonly<{ kind: "command"; text: string }>
  | Readonly<{ kind: "gap" }>;

export type View = Readonly<{
  title: string;
  blocks: readonly Block[];
  /** Said below the field or list. */
  advice?: string;
}>;

export type Line = Readonly<{ text: string; tone: Tone }>;

export const text = (words: string, tone: Tone = "plain"): Block => ({ kind: "text", text: words, tone });
export const verbatim = (words: string, tone: Tone = "plain"): Block => ({
  kind: "verbatim",
  text: words,
  tone,
});
export const drawing = (picture: string): Block => ({ kind: "drawing", text: picture });
/** One of several points. */
export const item = (words: string, sign = "• "): Block => ({ kind: "item", text: words, sign });
export const command = (words: string): Block => ({ kind: "command", text: words });
export const finding = (mark: Finding["mark"], words: string): Block => ({
  kind: "finding",
  finding: { mark, text: words },
});
export const gap: Block = { kind: "gap" };
export const findings = (found: readonly Finding[]): Block[] =>
  found.length === 0 ? [] : [...found.map((finding): Block => ({ kind: "finding", finding })), gap];

const COMMAND_INDENT = "    ";
const LINE_GOES_ON = " \\";

/** A mark in words too, for whoever sees no colours and hears no signs. */
const marks: Readonly<Record<Finding["mark"], string>> = {
  good: "✓ ",
  note: "• ",
  warning: "! ",
  bad: "✗ ",
};
const spokenMarks: Readonly<Record<Finding["mark"], string>> = {
  good: "Good: ",
  note: "Note: ",
  warning: "Warning: ",
  bad: "Wrong: ",
};

/** The lines of the blocks at most `width` characters wide; undefined: as long as they are, for a screen reader. */
export function layOut(blocks: readonly Block[], width: number | undefined): Line[] {
  return blocks.flatMap((block) => linesOf(block, width));
}

function linesOf(block: Block, width: number | undefined): Line[] {
  switch (block.kind) {
    case "gap":
      return width === undefined ? [] : [{ text: "", tone: "plain" }];
    case "verbatim":
      return [{ text: cut(block.text, width), tone: block.tone ?? "plain" }];
    case "drawing":
      return width === undefined ? [] : [{ text: cut(block.text, width), tone: "plain" }];
    case "text":
      return wrap(block.text, width).map((line) => ({ text: line, tone: block.tone ?? "plain" }));
    case "item":
      return width === undefined
        ? [{ text: isNumber(block.sign) ? `${block.sign.trim()} ${block.text}` : block.text, tone: "plain" }]
        : hanging(block.sign, block.text, "plain", width);
    case "command":
      return shellLines(block.text, width);
    case "finding": {
      const { mark, text: words } = block.finding;
      return width === undefined
        ? [{ text: `${spokenMarks[mark]}${words}`, tone: mark }]
        : hanging(marks[mark], words, mark, width);
    }
  }
}

/** A sign in front of the first line, and the others below its words. */
function hanging(sign: string, words: string, tone: Tone, width: number | undefined): Line[] {
  if (width === undefined) return [{ text: words, tone }];
  return wrap(words, width - sign.length).map((line, index) => ({
    text: `${index === 0 ? sign : " ".repeat(sign.length)}${line}`,
    tone,
  }));
}

const isNumber = (sign: string): boolean => /\d/.test(sign);

/** A backslash at the end of a line joins the next to it (POSIX.1-2017, Shell §2.2.1). */
function shellLines(words: string, width: number | undefined): Line[] {
  if (width === undefined) return [{ text: words, tone: "plain" }];
  const lines = wrap(words, width - COMMAND_INDENT.length - LINE_GOES_ON.length);
  return lines.map((line, index) => ({
    text: `${COMMAND_INDENT}${line}${index < lines.length - 1 ? LINE_GOES_ON : ""}`,
    tone: "plain",
  }));
}

/** At most `width` characters of it; the last one says that there were more. */
export function cut(words: string, width: number | undefined): string {
  const characters = [...words];
  if (width === undefined || characters.length <= width) return words;
  return `${characters.slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** Broken between words; one that is too long for a line is broken where the line ends. */
export function wrap(words: string, columns: number | undefined): string[] {
  if (columns === undefined) return [words.replaceAll("\n", " ")];
  // Narrower than a letter no text ever ends.
  const width = Math.max(1, columns);
  const lines: string[] = [];
  for (const paragraph of words.split("\n")) {
    let line = "";
    for (let word of paragraph.split(" ")) {
      if (line !== "" && [...line].length + 1 + [...word].length <= width) {
        line += ` ${word}`;
        continue;
      }
      if (line !== "") lines.push(line);
      while ([...word].length > width) {
        lines.push([...word].slice(0, width).join(""));
        word = [...word].slice(width).join("");
      }
      line = word;
    }
    lines.push(line);
  }
  return lines;
}
