/** Draws the rows of screen.ts by Ink: colours, and what is a list to a screen reader. Called by app.ts. */
import { Box, Text } from "ink";
import { createElement as h, type ReactNode } from "react";
import { drawable, type Look } from "./look.ts";
import type { Row } from "./screen.ts";
import type { Tone } from "./view.ts";

export function Rows({ rows, look }: Readonly<{ rows: readonly Row[]; look: Look }>): ReactNode {
  return h(
    Box,
    { flexDirection: "column" },
    // Rows have no names of their own, and none moves: the place is the key.
    ...rows.map((row, index) => h(RowLine, { key: index, row, look })),
  );
}

function RowLine({ row, look }: Readonly<{ row: Row; look: Look }>): ReactNode {
  const { choice, tone } = row;
  const words = h(Text, { wrap: "truncate-end", ...styleOf(tone, look) }, drawable(row.text, look) || " ");
  if (choice === undefined) return words;
  return h(Box, { "aria-role": "option", "aria-state": { selected: choice.isChosen } }, words);
}

const colours: Readonly<Partial<Record<Tone, string>>> = {
  good: "green",
  warning: "yellow",
  bad: "red",
};

function styleOf(tone: Tone, look: Look): { color?: string; bold?: boolean; dimColor?: boolean } {
  const color = look.colours ? colours[tone] : undefined;
  return {
    ...(color !== undefined && { color }),
    ...(tone === "strong" && { bold: true }),
    ...(tone === "quiet" && look.colours && { dimColor: true }),
  };
}
