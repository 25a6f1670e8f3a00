/**
 * The pages that friends of the operator see: Markdown of their language in one layout, as routes. Called by
 * services/web/service.ts and by `./homing web preview`; other parts of the service (sign-up) show pages of their own
 * by `show`.
 */
import { Marked } from "marked";
import { deletionIsEnforced } from "../../../appliance/deletion.ts";
import type { RelayConfig } from "../../../appliance/relay-config.ts";
import { type SignUpMode, signUpModes } from "../../../appliance/sign-up-modes.ts";
import { type Answer, type HttpProblem, type RequestHead, textAnswer } from "../exchange.ts";
import type { Routes } from "../router.ts";
import { assetsOf, contentTag, revalidated } from "./assets.ts";
import { chooseLanguage } from "./languages.ts";
import { type Language, languagesOf } from "./languages-of.ts";
import { relayValues, signUpLink, type Words, word } from "./relay-values.ts";
import { signUpBlock } from "./sign-up-block.ts";
import { escapeHtml, fillHtml, fillMarkdown, unfilled, type Values } from "./template.ts";
import type { WebFiles } from "./web-folder.ts";

/** Shown by the service at a moment of its own, not found in the menu nor at an address of their own. */
const innerPages = ["problem", "invite", "proof", "refusal"];
const home = "home";

export type PagesOptions = Readonly<{
  config: RelayConfig;
  files: WebFiles;
  /** How one signs up at this moment. Asked for each page of the menu. */
  signUpMode: () => SignUpMode | Promise<SignUpMode>;
  /** Whether pages promise deletion; what is so unless given. */
  deletes?: boolean;
}>;

export type Pages = Readonly<{
  routes: Routes;
  /** The page NAME.md in the reader's language, with more values than every page has. */
  show(head: RequestHead, name: string, more?: (words: Words) => Values, status?: number): Answer;
  problemPage(head: RequestHead, problem: HttpProblem): Answer;
  /** The short texts in the reader's language. */
  wordsFor(head: RequestHead): Words;
  /** What is wrong with the files, a line each. The pages are shown all the same. */
  problems: readonly string[];
}>;

/** The files cannot be made pages of. */
class PagesError extends Error {
  override name = "PagesError";
}

/** Throws PagesError when there is no home page in any language, or no layout. */
export function createPages(options: PagesOptions): Pages {
  const { config, files, signUpMode, deletes = deletionIsEnforced } = options;
  const problems: string[] = [];
  const languages = languagesOf(files, (text) => problems.push(text));
  const tags = languages.map(({ tag }) => tag);
  const layout = files.get("layout.html")?.toString();
  if (layout === undefined || languages.length === 0)
    throw new PagesError("there is no layout.html, or no home.md in any language");
  const assets = assetsOf(files);
  const marked = new Marked({ gfm: true });
  const toHtml = (markdown: string): string => marked.parse(markdown, { async: false });
  const common = new Map(
    languages.map(({ tag, words }) => [
      tag,
      {
        ...assets.values,
        ...relayValues(config, tag, words, deletes),
        sign_up: signUpBlock(signUpLink(config.domain), words),
      } satisfies Values,
    ]),
  );

  /** `root`: what links begin with, "/" or "/de/". */
  const render = (language: Language, name: string, root: string, mode: SignUpMode, more: Values): string => {
    const modeValues = Object.fromEntries(signUpModes.map((one) => [one, one === mode]));
    const values: Values = {
      ...common.get(language.tag),
      ...modeValues,
      can_sign_up: mode !== "closed",
      root,
      ...more,
    };
    const content = fillMarkdown(language.pages.get(name) ?? "", values, toHtml);
    const heading =
      /<h1[^>]*>(.*?)<\/h1>/s.exec(content)?.[1]?.replace(/<[^>]*>/g, "") ?? escapeHtml(config.domain);
    return fillHtml(layout, {
      ...values,
      name,
      content: { html: content },
      title: { html: `${heading} – ${htmlText(values.domain)}` },
      menu: { html: menu(language, name, root) },
      languages: { html: languageMenu(languages, name) },
    });
  };

  const menu = (language: Language, current: string, root: string): string =>
    [...language.pages.keys()]
      .filter((name) => !innerPages.includes(name))
      .map((name) => {
        const href = name === home ? root : `${root}${name}`;
        const mark = name === current ? ' aria-current="page"' : "";
        const label = Object.hasOwn(language.words, `menu_${name}`)
          ? word(language.words, `menu_${name}`)
          : name;
        return `<li><a href="${href}"${mark}>${escapeHtml(label)}</a></li>`;
      })
      .join("");

  const languageOf = (head: RequestHead): Readonly<{ language: Language; root: string }> => {
    const inPath = languages.find(({ tag }) => head.path === `/${tag}` || head.path.startsWith(`/${tag}/`));
    if (inPath !== undefined) return { language: inPath, root: `/${inPath.tag}/` };
    const chosen = chooseLanguage(head.headers.get("accept-language") ?? "", tags);
    return { language: languages.find(({ tag }) => tag === chosen)!, root: "/" };
  };

  const answer = (language: Language, html: string | Buffer, status = 200): Answer => ({
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-language": language.tag,
      "cache-control": "no-cache",
      vary: "accept-language",
    },
    body: html,
  });

  /** As of the last page of the menu; the others say nothing of it. */
  let mode: SignUpMode = config.signUp.mode;

  /** Every page is made once for each language and way to sign up. */
  const made = new Map<string, Readonly<{ answer: Answer; tag: string }>>();
  const plainPage = async (head: RequestHead, name: string): Promise<Answer> => {
    const { language, root } = languageOf(head);
    mode = await signUpMode();
    const key = [root, language.tag, name, mode].join(" ");
    let page = made.get(key);
    if (page === undefined) {
      // The same page may be missing in one language: the first one has it then, or it would have no route.
      const speaks = language.pages.has(name) ? language : languages.find(({ pages }) => pages.has(name))!;
      const html = render(speaks, name, root, mode, {});
      // As bytes: a text would be copied for each who does not read it.
      page = { answer: answer(speaks, Buffer.from(html)), tag: contentTag(html) };
      made.set(key, page);
    }
    return revalidated(head, page.tag, page.answer);
  };

  const show: Pages["show"] = (head, name, more = () => ({}), status = 200) => {
    const { language, root } = languageOf(head);
    const shown = answer(language, render(language, name, root, mode, more(language.words)), status);
    return { ...shown, headers: { ...shown.headers, "cache-control": "no-store" } };
  };

  for (const { tag, pages, words } of languages) {
    const values: Values = {
      ...common.get(tag),
      root: "",
      can_sign_up: true,
      ...Object.fromEntries(signUpModes.map((one) => [one, true])),
    };
    for (const [name, text] of pages) {
      if (innerPages.includes(name)) continue;
      for (const missing of unfilled(text, values))
        problems.push(`${tag}/${name}.md: there is no {{${missing}}}`);
    }
    if (Object.keys(words).length === 0) problems.push(`${tag}/words.toml is missing`);
  }
  return {
    routes: { ...assets.routes, ...pageRoutes(languages, plainPage) },
    show,
    problemPage: (head, problem) => {
      const wantsHtml = head.headers.get("accept")?.includes("text/html") ?? false;
      const isMove = problem.status < 400;
      if (!wantsHtml || isMove) return textAnswer(problem.status, `${problem.message}\n`);
      return show(
        head,
        "problem",
        () => ({
          reason: problem.message,
          status: String(problem.status),
          not_found: problem.status === 404,
          other_problem: problem.status !== 404,
        }),
        problem.status,
      );
    },
    wordsFor: (head) => languageOf(head).language.words,
    problems,
  };
}

/** "/", "/info" in the reader's language; "/de/", "/de/info" in that one. */
function pageRoutes(
  languages: readonly Language[],
  page: (head: RequestHead, name: string) => Promise<Answer>,
): Routes {
  const routes: Record<string, Routes[string]> = {};
  const names = new Set(languages.flatMap(({ pages }) => [...pages.keys()]));
  for (const name of [...names].filter((one) => !innerPages.includes(one))) {
    const end = name === home ? "" : name;
    const route = { GET: (head: RequestHead) => page(head, name) };
    routes[`/${end}`] = route;
    for (const { tag, pages } of languages) if (pages.has(name)) routes[`/${tag}/${end}`] = route;
  }
  for (const { tag } of languages) {
    routes[`/${tag}`] = { GET: () => ({ status: 308, headers: { location: `/${tag}/` } }) };
  }
  return routes;
}

/** Links to the same page in the other languages, by their own names. */
function languageMenu(languages: readonly Language[], name: string): string {
  return languages
    .map(({ tag, words, pages }) => {
      const end = name === home || innerPages.includes(name) || !pages.has(name) ? "" : name;
      const label = escapeHtml(word(words, "language_name"));
      return `<li><a href="/${tag}/${end}" lang="${tag}" hreflang="${tag}">${label}</a></li>`;
    })
    .join("");
}

function htmlText(value: Values[string] | undefined): string {
  return typeof value === "object" ? value.html : escapeHtml(String(value ?? ""));
}
