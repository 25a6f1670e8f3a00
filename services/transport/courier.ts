/**
 * Takes a message from Postfix to each recipient's relay: by HTTPS where that works, otherwise back to Postfix, whose own
 * client tries SMTP. Answers for each recipient only when somebody else has the message safely. Called by service.ts.
 */
import { setTimeout } from "node:timers/promises";
import type { Log } from "../lib/log.ts";
import type { SmtpReply } from "../lib/smtp-client.ts";
import { judgeAnswer } from "./answer.ts";
import { type Body, type createBodyReader, MAX_WHOLE_BYTES } from "./body.ts";
import type { Destinations } from "./destinations.ts";
import { batchesOf, byDomain, domainOf, fitsOneRequest, isPlain } from "./envelope.ts";
import type { HandBack } from "./hand-back.ts";
import type { HttpsPost } from "./https-post.ts";
import type { HandedMail } from "./intake.ts";
import type { MailDomain } from "./mail-domain.ts";
import type { createPlaces, Place } from "./places.ts";

export type CourierOptions = Readonly<{
  destinations: Destinations;
  mailDomain: (domain: string) => Promise<MailDomain>;
  https: HttpsPost;
  handBack: HandBack;
  bodies: ReturnType<typeof createBodyReader>;
  places: ReturnType<typeof createPlaces>;
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
  counted: (way: "https" | "smtp" | "deferred" | "refused", recipients: number) => void;
  log: Log;
}>;

/** What HTTPS did: a reply for each recipient it has an answer for; the others are for SMTP. */
type Replies = Map<string, SmtpReply>;

/** A message for recipients of one domain. */
type Letter = Readonly<{ domain: string; recipients: readonly string[]; mail: HandedMail; body: Body }>;

/** Of one request; `again` names those who can get it in another. */
type Posted = Readonly<{ replies: ReadonlyMap<string, SmtpReply>; again: readonly string[] }>;

/** A request whose answer was lost is made again at once: the other side's restart takes a moment. */
const ATTEMPT_DELAYS_MS = [0, 0, 300, 1000, 3000] as const;
/** Only where it was lost soon: who was silent for minutes will be again. */
const REPEAT_WITHIN_MS = 30_000;
/** For all requests to a domain; Postfix gives one message ten minutes (lmtp_data_done_timeout). */
const DOMAIN_LIMIT_MS = 300_000;
const lost: SmtpReply = { code: 451, text: "4.4.2 the answer to a delivery by HTTPS was lost, trying again" };
const slow: SmtpReply = { code: 451, text: "4.4.2 the other side is slow, trying again later" };
/** Of Postfix's next attempt, not of SMTP: the way is as good as before, and slow hosts are so by SMTP as well. */
const busy: SmtpReply = { code: 451, text: "4.3.2 too many deliveries to slow hosts, trying again later" };
const brokenOff: SmtpReply = { code: 451, text: "4.4.2 a delivery by HTTPS broke off, trying again by SMTP" };
const noWay = (reason: string): SmtpReply => ({
  code: 451,
  text: `4.4.1 delivered neither by SMTP nor by HTTPS (${reason})`,
});
const nullMx: SmtpReply = { code: 556, text: "5.1.10 the domain takes no mail (null MX)" };
const noDomain: SmtpReply = { code: 550, text: "5.4.4 there is no such domain" };

export function createCourier(options: CourierOptions) {
  const { destinations, https, handBack, log } = options;

  /** The first attempt: HTTPS, then SMTP for whom that did not work. */
  const deliver = async (mail: HandedMail): Promise<SmtpReply[]> => {
    using body = await options.bodies.read(mail.source);
    const groups = [...byDomain(mail.to)];
    const replies: Replies = new Map();
    const forSmtp: string[] = [];
    // A large message can be read once only: several domains get it from Postfix, one after the other.
    const canPost = body.isWhole || groups.length === 1;
    await Promise.all(
      groups.map(async ([domain, recipients]) => {
        const done =
          canPost && isPlain(mail) && destinations.choice(domain) === "https"
            ? await inPlace({ domain, recipients, mail, body }, postUnlessForSmtp)
            : new Map<string, SmtpReply>();
        for (const recipient of recipients) {
          const reply = done.get(recipient);
          if (reply === undefined) forSmtp.push(recipient);
          else replies.set(recipient, reply);
        }
      }),
    );
    if (forSmtp.length > 0 && !body.isWhole && body.isTouched()) {
      // HTTPS took a part of what only Postfix still has; by the next attempt it is known not to work.
      for (const recipient of forSmtp) replies.set(recipient, brokenOff);
    } else if (forSmtp.length > 0) {
      const source = body.isWhole ? body.chunks : body.source;
      for (const [recipient, reply] of await handBack({ mail, to: forSmtp, source })) {
        replies.set(recipient, reply);
        if (reply.code < 300) destinations.handedBack(domainOf(recipient));
      }
      options.counted("smtp", forSmtp.length);
    }
    return mail.to.map((recipient) => replies.get(recipient)!);
  };

  /** Postfix tried SMTP and could not: HTTPS again, for everybody or nobody, since SMTP has one answer for all. */
  const retry = async (mail: HandedMail): Promise<SmtpReply> => {
    const recipients = [...new Set(mail.to)];
    const domain = domainOf(recipients[0] ?? "");
    destinations.smtpFailed(domain);
    const state = await options.mailDomain(domain);
    if (state === "null MX") return nullMx;
    if (state === "does not exist") return noDomain;
    if (recipients.some((one) => domainOf(one) !== domain)) return noWay("several domains at once");
    if (!isPlain(mail)) return noWay("HTTPS has no room for such an address");
    using body = await options.bodies.read(mail.source);
    const done = await inPlace({ domain, recipients, mail, body }, (letter, place) =>
      postTo(letter, place, { isAtomic: true }),
    );
    const answers = recipients.map((one) => done.get(one));
    const refusal = answers.find((reply) => reply !== undefined && reply.code >= 400);
    if (answers.every((reply) => reply !== undefined && reply.code < 300)) return answers[0]!;
    if (answers.every((reply) => reply !== undefined && reply.code >= 400)) return refusal!;
    if (refusal === undefined) return noWay("no relay answers there");
    // Some are refused and nobody has it: they hear it when Postfix names them the next time.
    for (const one of recipients) {
      const reply = done.get(one);
      if (reply !== undefined && reply.code >= 500) remembered.add(mail.from, one, reply);
    }
    return { code: 451, text: "4.5.1 some recipients are refused, the others get it at the next attempt" };
  };

  const remembered = refusalMemory();
  /** Without a place, or when it had to be given up, everybody is to wait; nothing is learned about the domain. */
  const inPlace = (
    letter: Letter,
    post: (letter: Letter, place: Place) => Promise<ReadonlyMap<string, SmtpReply>>,
  ) => {
    const { domain, recipients, mail, body } = letter;
    const applicant = {
      ...{ sender: mail.from, domain, message: mail },
      ...{ isKnown: destinations.isKnownByHttps(domain), bytes: body.isWhole ? body.bytes : MAX_WHOLE_BYTES },
    };
    return options.places.guard(
      applicant,
      (place) => post(letter, place),
      () => deferred(recipients, busy),
    );
  };

  const postUnlessForSmtp = async (letter: Letter, place: Place): Promise<ReadonlyMap<string, SmtpReply>> => {
    const state = await unlessAborted(place.signal, options.mailDomain(letter.domain));
    if (state === undefined) return deferred(letter.recipients, slow);
    // SMTP says the same, in the words that bounces have.
    return state === "takes mail" ? await postTo(letter, place) : new Map();
  };

  const deferred = (recipients: readonly string[], reply: SmtpReply): Replies => {
    options.counted("deferred", recipients.length);
    return new Map(recipients.map((one) => [one, reply]));
  };

  /** A reply for each recipient that the other side answered for. Throws only what the source of a large body throws. */
  const postTo = async (
    letter: Letter,
    place: Place,
    { isAtomic = false } = {},
  ): Promise<ReadonlyMap<string, SmtpReply>> => {
    const { domain, recipients, body } = letter;
    if (!body.isWhole) {
      if (!destinations.takesLarge(domain) || (!isAtomic && !fitsOneRequest(recipients))) return new Map();
      const isThere = await answersByHttps(domain, place);
      if (isThere === undefined) return deferred(recipients, slow);
      if (!isThere) return new Map();
      const { replies } = await postOnce(letter, place);
      if (replies.size === 0) destinations.largeFailed(domain);
      return replies;
    }
    const replies: Replies = new Map();
    const started = options.now();
    const batches = isAtomic ? [recipients] : batchesOf(recipients);
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      if (options.now() - started > DOMAIN_LIMIT_MS) {
        for (const [one, reply] of deferred(batch, slow)) replies.set(one, reply);
        continue;
      }
      const done = await postOnce({ ...letter, recipients: batch }, place);
      for (const [recipient, reply] of done.replies) replies.set(recipient, reply);
      // Nothing at all was heard: neither will the others be.
      if (done.replies.size === 0 && done.again.length === 0) return replies;
      if (isAtomic) return replies;
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

  const count = (replies: ReadonlyMap<string, SmtpReply>) => {
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

  return { deliver, retry, refusalOf: remembered.take };
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

/**
 * Refusals that Postfix hears when it names the recipient again: at its next attempt, within its longest pause. A relay
 * may refuse one sender and take another's, so both count.
 */
function refusalMemory() {
  const maxRefusals = 1000;
  const refusals = new Map<string, SmtpReply>();
  const keyOf = (sender: string, recipient: string) => `${sender}\0${recipient}`;
  return {
    add: (sender: string, recipient: string, reply: SmtpReply) => {
      refusals.set(keyOf(sender, recipient), reply);
      if (refusals.size > maxRefusals) refusals.delete(refusals.keys().next().value!);
    },
    /** Told once: the next message of this sender to the same address asks anew. */
    take: (sender: string, recipient: string): SmtpReply | undefined => {
      const key = keyOf(sender, recipient);
      const reply = refusals.get(key);
      refusals.delete(key);
      return reply;
    },
  };
}
