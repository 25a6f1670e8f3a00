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
  /** Behind a sign that is not read aloud, with all its lines below each other. */
  | Readonly<{ kind: "item"; text: string; sign: string }>
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
/** To be typed or copied: whole, however narrow the terminal is. */
export const command = (words: string): Block => item(words, "    ");
export const gap: Block = { kind: "gap" };
export const findings = (found: readonly Finding[]): Block[] =>
  found.length === 0 ? [] : [...found.map((finding): Block => ({ kind: "finding", finding })), gap];

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
      return hanging(block.sign, block.text, "plain", width);
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

/** At most `width` characters of it; the last one says that there were more. */
export function cut(words: string, width: number | undefined): string {
  const characters = [...words];
  if (width === undefined || characters.length <= width) return words;
  return `${characters.slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** Broken between words; one that is too long for a line is broken where the line ends. */
export function wrap(words: string, width: number | undefined): string[] {
  if (width === undefined) return [words.replaceAll("\n", " ")];
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
