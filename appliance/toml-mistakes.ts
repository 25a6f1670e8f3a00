/**
 * Says in plain words what is wrong in a line of TOML (TOML 1.0) that the parser refuses, for the mistakes that
 * people make who never wrote TOML. Pure. Called by relay-config.ts.
 */

type Mistake = Readonly<{ pattern: RegExp; advice: string }>;

/** The first one whose pattern fits the value wins. */
const mistakes: readonly Mistake[] = [
  {
    pattern: /^[“”„‟‘’‚«»]|^["'][^"']*[“”„‟‘’‚«»]\s*$/,
    advice: 'curly quotes mean nothing here; write straight ones: "…"',
  },
  {
    pattern: /^(?:yes|no|on|off|true|false)$/i,
    advice: "write true or false, in lower case and without quotes",
  },
  {
    pattern: /^[+-]?\d{1,3}(?:[,.' ’]\d{3})+$/,
    advice: "a number has no separators but “_”, like 31_457_280",
  },
  {
    pattern: /^"(?:[^"\\]|\\.)*$|^'[^']*$/,
    advice: "the quote that begins the text is not closed at its end",
  },
  { pattern: /^\p{L}[^"'=[\]{}]*$/u, advice: 'a text stands in quotes: "…"' },
];

/**
 * Advice for the line, counted from 1, that the parser stopped at; undefined when it is none of the usual mistakes.
 */
export function tomlMistake(text: string, line: number): string | undefined {
  const content = text.split(/\r?\n/)[line - 1] ?? "";
  // The value of a setting, or an entry of a list that has a line of its own.
  const value = (/^\s*[\w."-]+\s*=(.*)$/.exec(content)?.[1] ?? content).trim();
  // A comment counts only where no quote could hold its sign.
  const bare = value.replace(/^([^"']*?)\s*#.*$/, "$1").replace(/\s*,$/, "");
  return mistakes.find(({ pattern }) => pattern.test(bare))?.advice;
}
