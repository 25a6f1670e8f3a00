/**
 * Takes a message from Postfix to the recipients' relay by HTTPS, or says that SMTP shall: Postfix, which keeps the
 * message all the time, then goes on to the next host of its way. Called by service.ts.
 */
import type { SmtpReply } from "../lib/smtp-client.ts";
import { type createBodyReader, MAX_WHOLE_BYTES } from "./body.ts";
import { domainOf, fitsOneRequest, isPlain } from "./envelope.ts";
import type { HandedMail } from "./intake.ts";
import { contentOf, createOutcomes } from "./outcomes.ts";
import type { createPlaces } from "./places.ts";
import { createPosting, type Letter, type PostingOptions } from "./posting.ts";
import { asFinal, asWaiting, type Behind } from "./reply.ts";

export type CourierOptions = PostingOptions &
  Readonly<{ bodies: ReturnType<typeof createBodyReader>; places: ReturnType<typeof createPlaces> }>;

/**
 * Where Postfix comes: for domains known by HTTPS, for others, and when SMTP failed. Each of the first two has processes
 * of its own.
 */
export type Door = "known" | "first" | "last";

/**
 * Messages that may go on to SMTP at the door of domains known by HTTPS, in a minute: they hold one of 50 processes
 * (postfix-master.ts) for as long as a mail server likes, so that many would hold up all the others. Those beyond come
 * again as to an unknown domain.
 */
const MAX_TO_SMTP_OF_KNOWN = 5;
const TO_SMTP_PERIOD_MS = 60_000;

const taken: SmtpReply = { code: 250, text: "2.0.0 taken by HTTPS" };
const bySmtp = (reason: string): SmtpReply => ({
  code: 451,
  text: `4.4.1 not delivered by HTTPS (${reason}), SMTP is next`,
});
const smtpLater: SmtpReply = { code: 451, text: "4.4.1 delivery by HTTPS failed, trying SMTP later" };
const differ: SmtpReply = { code: 451, text: "4.5.1 not the same for all recipients, offer it again" };
const tooMany: SmtpReply = { code: 452, text: "4.5.3 more recipients than fit in one request" };
const noWay = (reason: string): SmtpReply => ({
  code: 451,
  text: `4.4.1 delivered neither by SMTP nor by HTTPS (${reason})`,
});
const nullMx: SmtpReply = { code: 556, text: "5.1.10 the domain takes no mail (null MX)" };
const noDomain: SmtpReply = { code: 550, text: "5.4.4 there is no such domain" };

const behind = (door: Door): Behind => (door === "last" ? "nothing" : "SMTP");

export function createCourier(options: CourierOptions) {
  const { destinations } = options;
  const posting = createPosting(options);
  const outcomes = createOutcomes();
  const mayGoToSmtp = createAllowance(MAX_TO_SMTP_OF_KNOWN, TO_SMTP_PERIOD_MS, options.now);

  const deliver = async (mail: HandedMail, door: Door): Promise<SmtpReply> => {
    const recipients = [...new Set(mail.to)];
    const domain = domainOf(recipients[0] ?? "");
    if (door === "last") {
      destinations.smtpFailed(domain);
      const state = await options.mailDomain(domain);
      if (state === "null MX") return nullMx;
      if (state === "does not exist") return noDomain;
    }
    const leave = (reason: string) => leaveToSmtp({ mail, recipients, domain, door, reason });
    if (recipients.some((one) => domainOf(one) !== domain)) return leave("several domains at once");
    if (!isPlain(mail)) return leave("it has no room for such an address");
    using body = await options.bodies.read(mail.source);
    const content = contentOf(mail.from, body);
    const isLeft = (one: string) => content === undefined || !outcomes.isDelivered(content, one);
    const left = recipients.filter(isLeft);
    if (left.length === 0) return taken;
    const done = await inPlace({ domain, recipients: left, mail, body }, content);
    const replies = left.map((one) => done.get(one));
    const [first] = replies;
    if (replies.every((reply) => reply === undefined)) return leave("no relay answers there");
    if (
      first !== undefined &&
      replies.every((reply) => reply?.code === first.code && reply.text === first.text)
    )
      return asFinal(first, behind(door));
    // SMTP has one answer for all: each hears its own when the message is offered again.
    for (const [recipient, reply] of done) {
      if (reply.code >= 400) outcomes.refused(mail.from, recipient, asFinal(reply, behind(door)));
      else if (content !== undefined) outcomes.delivered(content, recipient);
    }
    const isAgain = content === undefined || left.length < recipients.length;
    return door === "known" && isAgain && !mayGoToSmtp() ? asWaiting(differ, "SMTP") : differ;
  };

  /** Without a place, or when it had to be given up, everybody is to wait; nothing is learned about the domain. */
  const inPlace = (letter: Letter, content: string | undefined) => {
    const { domain, recipients, mail, body } = letter;
    const applicant = {
      // Postfix hands over a message for each domain by itself.
      ...{ sender: mail.from, domain, message: content ?? mail },
      ...{ isKnown: destinations.isKnownByHttps(domain), bytes: body.isWhole ? body.bytes : MAX_WHOLE_BYTES },
    };
    return options.places.guard(
      applicant,
      (place) => posting.post(letter, place),
      () => posting.busy(recipients),
    );
  };

  const leaveToSmtp = ({ mail, recipients, domain, door, reason }: Leaving): SmtpReply => {
    if (door === "last") return noWay(reason);
    if (door === "known" && !mayGoToSmtp()) {
      options.counted("deferred", recipients.length);
      return asWaiting(smtpLater, "SMTP");
    }
    destinations.leftToSmtp(domain);
    options.counted("smtp", recipients.length);
    const reply = bySmtp(reason);
    // Postfix comes here once more before it goes on.
    for (const one of recipients) outcomes.refused(mail.from, one, reply);
    return reply;
  };

  /** What to say to a recipient before the message comes. */
  const refuseRecipient = (
    sender: string,
    recipient: string,
    others: readonly string[],
    door: Door,
  ): SmtpReply | undefined => {
    const known = outcomes.takeRefusal(sender, recipient);
    if (known !== undefined) return known;
    if (door === "first" && destinations.choice(domainOf(recipient)) === "smtp")
      return bySmtp("SMTP works there");
    return fitsOneRequest([...others, recipient]) ? undefined : tooMany;
  };

  return { deliver, refuseRecipient };
}

type Leaving = Readonly<{
  mail: HandedMail;
  recipients: readonly string[];
  domain: string;
  door: Door;
  reason: string;
}>;

/** True so many times in a period. */
function createAllowance(times: number, periodMs: number, now: () => number): () => boolean {
  const used: number[] = [];
  return () => {
    while (used[0] !== undefined && now() - used[0] >= periodMs) used.shift();
    if (used.length >= times) return false;
    used.push(now());
    return true;
  };
}
