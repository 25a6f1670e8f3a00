/**
 * Where an app or a person gets an account: POST /new, which Delta Chat asks after `dcaccount:https://DOMAIN/new`; GET
 * /new and /i/TOKEN, which people open. Makes no account itself: services/auth does, and says why not. Refusals are
 * sentences for people, in their language (reason_… in words.toml). Called by service.ts.
 */
import { describeError, type Log } from "../lib/log.ts";
import { type AccountClient, AccountServiceError, type Puzzle } from "./account-client.ts";
import { type Answer, jsonAnswer, type RequestHead, type WebRequest } from "./exchange.ts";
import type { Pages } from "./pages/pages.ts";
import { type Words, word } from "./pages/relay-values.ts";
import { signUpBlock } from "./pages/sign-up-block.ts";
import { escapeHtml, fillHtml } from "./pages/template.ts";
import type { Routes } from "./router.ts";

/** Longer than any token or proof of ours: what is longer is none, and is not handed on. */
const maxTokenLength = 64;
const maxProofLength = 256;

/** When the account service itself is away: it restarts within seconds. */
const awaySeconds = 30;

const secondsPerMinute = 60;

/** Reasons of services/auth that mean something to a person, by their words; others are "reason_later". */
const reasonWords: Readonly<Record<string, string>> = {
  "sign-up-closed": "reason_closed",
  "invitation-needed": "reason_invitation_needed",
  "invitation-unknown": "reason_invitation_unknown",
  "invitation-used-up": "reason_invitation_used_up",
  "invitation-expired": "reason_invitation_expired",
  "too-many-new-accounts": "reason_too_many",
  "too-many-for-network": "reason_network",
  "proof-refused": "reason_proof",
  "disk-too-full": "reason_full",
};

export type SignUpParts = Readonly<{
  domain: string;
  accounts: AccountClient;
  pages: Pick<Pages, "show" | "wordsFor">;
  log: Log;
}>;

export function signUpRoutes(parts: SignUpParts): Routes {
  const { domain, accounts, pages } = parts;
  const newUrl = `https://${domain}/new`;

  const sentence = (words: Words, reason: string, retrySeconds = 0): string =>
    fillHtml(word(words, Object.hasOwn(reasonWords, reason) ? reasonWords[reason]! : "reason_later"), {
      minutes: String(Math.max(1, Math.ceil(retrySeconds / secondsPerMinute))),
      new_url: newUrl,
    });
  /** What a page says when there is no account. */
  const refusal = (head: RequestHead, status: number, reason: string, retrySeconds?: number): Answer => {
    const more = (words: Words) => ({ reason: sentence(words, reason, retrySeconds) });
    const page = pages.show(head, "refusal", more, status);
    return { ...page, headers: { ...page.headers, ...retryAfter(retrySeconds) } };
  };
  let isAway = false;
  /** Says so once, not for each who asks. */
  const away = (cause: unknown): void => {
    if (!(cause instanceof AccountServiceError)) throw cause;
    if (!isAway) parts.log.error("no account can be made", { cause: describeError(cause.cause ?? cause) });
    isAway = true;
  };
  const isBack = (): void => {
    if (isAway) parts.log.info("accounts can be made again");
    isAway = false;
  };
  /** A page that needs the account service. */
  const orAway =
    (page: (request: WebRequest) => Promise<Answer>) =>
    (request: WebRequest): Promise<Answer> =>
      page(request).catch((cause) => {
        away(cause);
        return refusal(request, 503, "away", awaySeconds);
      });

  const make = async (request: WebRequest): Promise<Answer> => {
    const refuse = (status: number, reason: string, retrySeconds?: number): Answer =>
      jsonAnswer(
        status,
        { reason: sentence(pages.wordsFor(request), reason, retrySeconds) },
        { ...retryAfter(retrySeconds), "cache-control": "no-store" },
      );
    if (isOfAnotherSite(request)) return refuse(403, "another-site");
    try {
      const answer = await accounts.signUp({
        client: request.client,
        invitation: short(request.query.get("t"), maxTokenLength),
        proof: short(request.query.get("proof"), maxProofLength),
      });
      isBack();
      if (answer.result === "refused") return refuse(answer.status, answer.reason, answer.retrySeconds);
      const { email, password } = answer;
      return jsonAnswer(200, { email, password }, { "cache-control": "no-store" });
    } catch (cause) {
      away(cause);
      return refuse(503, "away", awaySeconds);
    }
  };

  const openNew = async (head: WebRequest): Promise<Answer> => {
    const token = short(head.query.get("t"), maxTokenLength);
    if (token !== "") return moved(`/i/${encodeURIComponent(token)}`);
    const { mode, retrySeconds, puzzle } = await accounts.welcome(head.client);
    if (mode !== "open")
      return refusal(head, 403, mode === "closed" ? "sign-up-closed" : "invitation-needed");
    if (puzzle !== undefined) {
      return pages.show(head, "proof", (words) => ({ proof: proofBlock(puzzle, newUrl, words) }));
    }
    if (retrySeconds !== undefined) return refusal(head, 429, "too-many-for-network", retrySeconds);
    return moved(`dcaccount:${newUrl}`);
  };

  const openInvitation = async (head: WebRequest): Promise<Answer> => {
    const token = short(head.parameter, maxTokenLength);
    const { mode, state } = await accounts.findInvitation(token, head.client);
    if (mode === "closed") return refusal(head, 403, "sign-up-closed");
    // Whoever is let in anyway need not know what became of the invitation.
    if (mode === "invite" && state !== "good")
      return refusal(head, state === "unknown" ? 404 : 410, `invitation-${state}`);
    const link = `dcaccount:${newUrl}${state === "good" ? `?t=${encodeURIComponent(token)}` : ""}`;
    return pages.show(head, "invite", (words) => ({ sign_up: signUpBlock(link, words) }));
  };

  return {
    "/new": { GET: orAway(openNew), POST: make },
    "/i/*": { GET: orAway(openInvitation) },
  };
}

/**
 * Whether a page elsewhere made a browser ask (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header): its
 * visitors would use up what their networks may make. Apps send no such field.
 */
function isOfAnotherSite({ headers }: RequestHead): boolean {
  const site = headers.get("sec-fetch-site");
  return site !== undefined && site !== "same-origin" && site !== "none";
}

function moved(location: string): Answer {
  return { status: 302, headers: { location, "cache-control": "no-store" } };
}

function retryAfter(seconds: number | undefined): Record<string, string> {
  return seconds === undefined ? {} : { "retry-after": String(seconds) };
}

/** Empty when it is missing or longer than any that is right. */
function short(text: string | null, limit: number): string {
  return text === null || text.length > limit ? "" : text;
}

/** The puzzle as proof.js reads it, and what shows its progress. */
function proofBlock(
  { challenge, rounds, bits }: Puzzle,
  newUrl: string,
  words: Words,
): Readonly<{ html: string }> {
  const text = (name: string): string => escapeHtml(word(words, name));
  const data = Object.entries({
    challenge,
    rounds: String(rounds),
    bits: String(bits),
    link: `dcaccount:${newUrl}?proof=`,
    done: word(words, "proof_done"),
    failed: word(words, "proof_failed"),
  });
  return {
    html: `<section class="sign-up proof" ${data.map(([name, value]) => `data-${name}="${escapeHtml(value)}"`).join(" ")}>
<progress aria-label="${text("proof_progress")}" hidden></progress>
<p role="status">${text("proof_working")}</p>
<p><a class="button" hidden>${text("sign_up_button")}</a></p>
<noscript><p>${text("proof_no_script")}</p></noscript>
</section>`,
  };
}
