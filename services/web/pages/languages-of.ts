/**
 * The languages of a folder of pages: a subfolder each, with a home page, Markdown for every other page, and words.toml
 * with the short texts in between. Called by pages.ts; pure.
 */
import { parse as parseToml } from "smol-toml";
import type { Words } from "./relay-values.ts";
import type { WebFiles } from "./web-folder.ts";

/** What a browser gets that asks for none of the others; its words stand in where another language lacks one. */
const firstLanguage = "en";

export type Language = Readonly<{
  /** RFC 5646, lower case. */
  tag: string;
  words: Words;
  /** Markdown by the name of the page, in the order of the menu. */
  pages: ReadonlyMap<string, string>;
}>;

/** The pages of the menu that come first, in their order. */
const firstPages = ["home", "info", "privacy"];

/** All languages, English first. */
export function languagesOf(files: WebFiles, onProblem: (text: string) => void): Language[] {
  const tags = [...files.keys()].flatMap((path) => (path.endsWith("/home.md") ? [path.split("/")[0]!] : []));
  const rank = (tag: string): string => (tag === firstLanguage ? "" : tag);
  const common = wordsOf(files, firstLanguage, onProblem);
  return tags
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map((tag) => ({
      tag,
      words: tag === firstLanguage ? common : { ...common, ...wordsOf(files, tag, onProblem) },
      pages: pagesOf(files, tag),
    }));
}

function pagesOf(files: WebFiles, tag: string): Map<string, string> {
  const found = [...files].flatMap(([path, content]) => {
    const name = new RegExp(`^${tag}/([a-z0-9][a-z0-9_-]*)\\.md$`).exec(path)?.[1];
    return name === undefined ? [] : [[name, content.toString()] as const];
  });
  const rank = ([name]: readonly [string, string]): number => {
    const place = firstPages.indexOf(name);
    return place < 0 ? firstPages.length : place;
  };
  return new Map(found.sort((a, b) => rank(a) - rank(b) || (a[0] < b[0] ? -1 : 1)));
}

function wordsOf(files: WebFiles, tag: string, onProblem: (text: string) => void): Words {
  const path = `${tag}/words.toml`;
  const content = files.get(path);
  if (content === undefined) return {};
  try {
    const table = parseToml(content.toString());
    return Object.fromEntries(
      Object.entries(table).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch (error) {
    onProblem(`${path} cannot be read: ${(error as Error).message}`);
    return {};
  }
}
