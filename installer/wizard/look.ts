/**
 * What the terminal can show: colours, and signs beyond ASCII. Called by start.ts with the environment; pure.
 * NO_COLOR: https://no-color.org. Words are never in colour alone.
 */

export type Look = Readonly<{
  colours: boolean;
  signs: boolean;
  /** Half and whole blocks, which fonts have that lack our signs: QR codes are made of them. */
  blocks: boolean;
}>;

type Environment = Readonly<Record<string, string | undefined>>;

export function lookOf(env: Environment, platform: NodeJS.Platform): Look {
  if (env.TERM === "dumb") return { colours: false, signs: false, blocks: false };
  const blocks = platform === "win32" || isUtf8(env, platform);
  return { colours: (env.NO_COLOR ?? "") === "", signs: blocks && hasSigns(env, platform), blocks };
}

/** cmd.exe's fonts lack our signs; Windows Terminal and editors tell who they are. The Linux console's lack them too. */
function hasSigns(env: Environment, platform: NodeJS.Platform): boolean {
  if (platform === "win32") return env.WT_SESSION !== undefined || env.TERM_PROGRAM === "vscode";
  return env.TERM !== "linux";
}

/** POSIX.1-2017 §8.2: LC_ALL goes before LC_CTYPE before LANG. None is the C locale, which macOS's terminals do not mean. */
function isUtf8(env: Environment, platform: NodeJS.Platform): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((value) => value !== undefined && value !== "");
  return locale === undefined ? platform === "darwin" : /utf-?8/i.test(locale);
}

const inAscii: Readonly<Record<string, string>> = {
  "✓": "+",
  "✗": "x",
  "•": "*",
  "❯": ">",
  "…": "~",
  "–": "-",
  "→": ">",
  "↑": "^",
  "↓": "v",
  "·": "-",
  "“": '"',
  "”": '"',
  "’": "'",
  "█": "#",
  "░": ".",
};

/** The text with as many characters, so that lines stay as long as they are. */
export function drawable(text: string, { signs }: Look): string {
  if (signs) return text;
  return text.replaceAll(/[^\u0020-\u007e]/gu, (sign) => inAscii[sign] ?? "?");
}
