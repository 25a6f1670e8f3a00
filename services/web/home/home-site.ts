/**
 * The relay's status page for those at home: read-only, without a secret, on port 80 for the private network alone. An
 * invitation is shown to whoever knows the PIN on the relay's screen, which services/auth checks. Called by service.ts.
 */
import { domainToUnicode } from "node:url";
import { readVerdict } from "../../../appliance/canary.ts";
import type { StatusFacts } from "../../../appliance/life/judgement.ts";
import { readOthersFile } from "../../../appliance/others-file.ts";
import { describeError, type Log } from "../../lib/log.ts";
import type { AccountClient } from "../account-client.ts";
import { type Answer, HttpProblem, type RequestHead, readWholeBody } from "../exchange.ts";
import { chooseLanguage } from "../pages/languages.ts";
import { signUpLink } from "../pages/relay-values.ts";
import { type Route, type Routes, routeTable } from "../router.ts";
import { isFromHome, isFromOwnPage } from "./from-home.ts";
import { type HomePage, invitationHtml, statusPageHtml } from "./home-page.ts";
import { type HomeWords, homeWords } from "./home-words.ts";

/** A PIN in a form. In bytes. */
const maxFormBytes = 200;

/** What the page takes of the other pages. */
const assets = ["/style.css", "/theme.css", "/logo.svg"] as const;

export type HomeSite = Readonly<{
  /** Whether the request is for this site. */
  isFor(head: RequestHead): boolean;
  routes: ReadonlyMap<string, Route>;
}>;

export type HomeParts = Readonly<{
  domain: string;
  /** Files of StatusFacts and CanaryVerdict. */
  facts: string;
  canary: string;
  accounts: Pick<AccountClient, "homeInvitation">;
  /** Of the other pages. */
  pages: Routes;
  log: Log;
}>;

export function createHomeSite(parts: HomeParts): HomeSite {
  const { domain, accounts, log } = parts;
  const readText = (path: string) =>
    readOthersFile(path, (reason) => log.warn("no part of the page at home", { reason }));
  const pageFor = (head: RequestHead): HomePage => {
    const language = chooseLanguage(head.headers.get("accept-language") ?? "", Object.keys(homeWords));
    return {
      ...{ language, domain: domainToUnicode(domain) || domain, now: Date.now() / 1000 },
      words: homeWords[language]!,
      facts: factsIn(readText(parts.facts)),
      canary: readVerdict(readText(parts.canary)),
    };
  };

  const invite = async (page: HomePage, pin: string): Promise<Answer> => {
    const refuse = (status: number, refusal: string) =>
      html(status, page.language, statusPageHtml({ ...page, refusal }));
    const { words, language } = page;
    const answer = await accounts.homeInvitation(pin).catch((cause: unknown) => {
      log.warn("no invitation for the page at home", { cause: describeError(cause) });
      return undefined;
    });
    if (answer === undefined) return refuse(503, words.failed);
    if (answer.result === "refused") return refuse(answer.status, refusalText(words, answer));
    const { mode } = answer;
    const link = mode === "open" ? signUpLink(domain) : answer.link;
    return html(200, language, invitationHtml(page, link, mode === "invite"));
  };

  return {
    isFor: isFromHome,
    routes: routeTable([
      Object.fromEntries(assets.flatMap((path) => (parts.pages[path] ? [[path, parts.pages[path]]] : []))),
      {
        "/": {
          GET: async (head) => {
            const page = pageFor(head);
            return html(200, page.language, statusPageHtml(page));
          },
        },
        "/invite": {
          maxBodyBytes: maxFormBytes,
          POST: async (request) => {
            if (!isFromOwnPage(request)) throw new HttpProblem(403, "this form was sent by another page");
            const fields = new URLSearchParams((await readWholeBody(request)).toString());
            return await invite(pageFor(request), fields.get("pin") ?? "");
          },
        },
      },
    ]),
  };
}

function refusalText(
  words: HomeWords,
  { reason, retrySeconds }: { reason: string; retrySeconds?: number },
): string {
  if (reason === "wrong-pin") return words.wrongPin;
  if (retrySeconds === undefined) return words.listFull;
  return words.tooMany.replace("{{minutes}}", String(Math.ceil(retrySeconds / 60)));
}

function factsIn(text: string | undefined): StatusFacts | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as StatusFacts);
}

/** "same-origin": with the relay's usual "no-referrer", browsers send the form with the origin "null" (Fetch §3.1.1). */
function html(status: number, language: string, body: string): Answer {
  return {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-language": language,
      "cache-control": "no-store",
      "referrer-policy": "same-origin",
      vary: "accept-language",
    },
    body,
  };
}
