/**
 * Offers a message to the relay of one domain by HTTPS: in as many requests as it takes until there is an answer for each
 * recipient, or until it is known that no relay answers there. Called by courier.ts.
 */
import { setTimeout } from "node:timers/promises";
import type { Log } from "../lib/log.ts";
import type { SmtpReply } from "../lib/smtp-client.ts";
import { judgeAnswer } from "./answer.ts";
import type { Body } from "./body.ts";
import type { Destinations } from "./destinations.ts";
import type { HttpsPost } from "./https-post.ts";
import type { HandedMail } from "./intake.ts";
import type { MailDomain } from "./mail-domain.ts";
import type { Place } from "./places.ts";

export type PostingOptions = Readonly<{
  destinations: Destinations;
  mailDomain: (domain: string) => Promise<MailDomain>;
  https: HttpsPost;
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
  counted: (way: "https" | "smtp" | "deferred" | "refused", recipients: number) => void;
  log: Log;
}>;

/** Why nothing was offered by HTTPS, whether or not there is a relay. */
export type Unposted = "the domain takes no mail" | "it took no message of that size";

/** A reply for each recipient there is an answer for; the others are for SMTP. */
export type Replies = ReadonlyMap<string, SmtpReply>;

/** A message for recipients of one domain, who fit in one request (envelope.ts). */
export type Letter = Readonly<{
  domain: string;
  recipients: readonly string[];
  mail: HandedMail;
  body: Body;
}>;

/** Of one request; `again` names those who can get it in another. */
type Posted = Readonly<{ replies: Replies; again: readonly string[] }>;

/** A request whose answer was lost is made again at once: the other side's restart takes a moment. */
const ATTEMPT_DELAYS_MS = [0, 0, 300, 1000, 3000] as const;
/** Only where it was lost soon: who was silent for minutes will be again. */
const REPEAT_WITHIN_MS = 30_000;
/** For all requests to a domain; Postfix gives one message ten minutes (smtp_data_done_timeout). */
const DOMAIN_LIMIT_MS = 300_000;
const noLarge = "it took no message of that size";
const lost: SmtpReply = { code: 451, text: "4.4.2 the answer to a delivery by HTTPS was lost, trying again" };
const slow: SmtpReply = { code: 451, text: "4.4.2 the other side is slow, trying again later" };
/** Of Postfix's next attempt, not of SMTP: the way is as good as before, and slow hosts are so by SMTP as well. */
const busy: SmtpReply = { code: 451, text: "4.3.2 too many deliveries to slow hosts, trying again later" };

export function createPosting(options: PostingOptions) {
  const { destinations, https, log } = options;

  const post = async (letter: Letter, place: Place): Promise<Replies | Unposted> => {
    const state = await unlessAborted(place.signal, options.mailDomain(letter.domain));
    if (state === undefined) return deferred(letter.recipients, slow);
    // SMTP says the same, in the words that bounces have.
    return state === "takes mail" ? await postTo(letter, place) : "the domain takes no mail";
  };

  const deferred = (recipients: readonly string[], reply: SmtpReply): Map<string, SmtpReply> => {
    options.counted("deferred", recipients.length);
    return new Map(recipients.map((one) => [one, reply]));
  };

  /** A reply for each recipient that the other side answered for. Throws only what the source of a large body throws. */
  const postTo = async (letter: Letter, place: Place): Promise<Replies | Unposted> => {
    const { domain, recipients, body } = letter;
    if (!body.isWhole) {
      if (!destinations.takesLarge(domain)) return noLarge;
      const isThere = await answersByHttps(domain, place);
      if (isThere === undefined) return deferred(recipients, slow);
      if (!isThere) return new Map();
      const { replies } = await postOnce(letter, place);
      if (replies.size > 0) return replies;
      destinations.largeFailed(domain);
      return noLarge;
    }
    const replies = new Map<string, SmtpReply>();
    const started = options.now();
    const batches = [recipients];
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      if (options.now() - started > DOMAIN_LIMIT_MS) {
        for (const [one, reply] of deferred(batch, slow)) replies.set(one, reply);
        continue;
      }
      const done = await postOnce({ ...letter, recipients: batch }, place);
      for (const [recipient, reply] of done.replies) replies.set(recipient, reply);
      // Nothing at all was heard: neither will the others be.
      if (done.replies.size === 0 && done.again.length === 0) return replies;
      // Who was not named gets it without those who were; if nobody was named, each alone.
      if (done.again.length > 0)
        batches.unshift(...(done.replies.size > 0 ? [done.again] : done.again.map((one) => [one])));
    }
    return replies;
  };

  const postOnce = async ({ domain, recipients, mail, body }: Letter, place: Place): Promise<Posted> => {
    const envelope = { from: mail.from, to: recipients };
    const unheard: Posted = { replies: new Map(), again: [] };
    const later = (reply: SmtpReply): Posted => ({ replies: deferred(recipients, reply), again: [] });
    let isUncertain = false;
    let isRelay = false;
    const started = options.now();
    for (const delay of ATTEMPT_DELAYS_MS) {
      if (options.now() - started > REPEAT_WITHIN_MS) break;
      if (delay > 0) await setTimeout(delay);
      const outcome = await https.post(domain, envelope, body, place);
      if (outcome.kind === "answered") {
        const verdict = judgeAnswer(outcome.status, outcome.text, recipients);
        if (verdict.kind === "replies") {
          destinations.httpsWorked(domain);
          count(verdict.replies);
          return verdict;
        }
        log.debug("no delivery by HTTPS", { domain, reason: verdict.reason });
        if (!isUncertain) {
          destinations.httpsFailed(domain);
          return unheard;
        }
      } else {
        log.debug("no delivery by HTTPS", { domain, ...outcome });
        // Whether it has the message, nobody knows now; that it is no relay is not known either.
        if (place.signal.aborted) return later(slow);
        if (outcome.kind === "no place" && !isUncertain) return later(busy);
        if (outcome.kind === "failed" && !isUncertain) {
          destinations.httpsFailed(domain);
          return unheard;
        }
        isUncertain = true;
        // A web server that wants no such body may end the connection instead of answering: is this a relay at all?
        isRelay ||= destinations.isKnownByHttps(domain);
        if (!isRelay) {
          const look = await https.look(domain, place);
          isRelay = look.kind === "answered" && look.status === METHOD_NOT_ALLOWED;
          if (look.kind === "answered" && !isRelay) return unheard;
        }
      }
      if (!body.isWhole) break;
    }
    if (place.signal.aborted) return later(slow);
    // Whatever speaks TLS there never said a word of HTTP, for as long as a relay takes to start again.
    if (!isRelay) return unheard;
    log.info("the answer to a delivery by HTTPS was lost", { domain });
    return later(lost);
  };

  const count = (replies: Replies) => {
    for (const { code } of replies.values())
      options.counted(code < 300 ? "https" : code < 500 ? "deferred" : "refused", 1);
  };

  /** Whether there is a relay by HTTPS, before a large message is read for it; undefined when that cannot be asked now. */
  const answersByHttps = async (domain: string, place: Place): Promise<boolean | undefined> => {
    if (destinations.isKnownByHttps(domain)) return true;
    const look = await https.look(domain, place);
    if (look.kind === "no place" || (look.kind !== "answered" && place.signal.aborted)) return undefined;
    // It takes nothing but POST (RFC 9110 §15.5.6).
    const isThere = look.kind === "answered" && look.status === METHOD_NOT_ALLOWED;
    if (isThere) destinations.httpsWorked(domain);
    return isThere;
  };

  return {
    /** Throws only what the source of a large body throws. */
    post,
    /** For who gets no place (places.ts). */
    busy: (recipients: readonly string[]): Replies => deferred(recipients, busy),
  };
}

const METHOD_NOT_ALLOWED = 405;

/** Undefined when the signal aborts first. `what` never fails. */
async function unlessAborted<T>(signal: AbortSignal, what: Promise<T>): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const end = () => resolve(undefined);
  signal.addEventListener("abort", end);
  try {
    return await Promise.race([what, aborted]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}
