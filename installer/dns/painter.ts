/** Colours for people: on a terminal, and unless NO_COLOR forbids them (no-color.org). Called by the dns commands. */

type Paint = (text: string) => string;

export type Painter = Readonly<{ good: Paint; mind: Paint; bad: Paint }>;

const plain: Paint = (text) => text;

export function painterFor(
  output: Readonly<{ isTTY?: boolean }>,
  env: Readonly<Record<string, string | undefined>>,
): Painter {
  const isPlain = output.isTTY !== true || (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
  if (isPlain) return { good: plain, mind: plain, bad: plain };
  const paint =
    (code: number): Paint =>
    (text) =>
      `\u001b[${code}m${text}\u001b[39m`;
  return { good: paint(32), mind: paint(33), bad: paint(31) };
}
