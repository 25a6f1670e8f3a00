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
import { createPosting, type Letter, type PostingOptions, type Replies, type Unposted } from "./posting.ts";
import { asFinal, asWaiting, type Behind } from "./reply.ts";
import { createSmtpAfterHttps } from "./smtp-after-https.ts";

export type CourierOptions = PostingOptions &
  Readonly<{ bodies: ReturnType<typeof createBodyReader>; places: ReturnType<typeof createPlaces> }>;

/**
 * Where Postfix comes: for domains known by HTTPS, for others, for either a second time in the same attempt
 * (appliance/mail-routes.ts), and when SMTP failed.
 */
export type Door = "known" | "known again" | "first" | "first again" | "last";

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

const isSecondOffer = (door: Door) => door === "known again" || door === "first again";
const behind = (door: Door): Behind => (door === "last" ? "nothing" : "SMTP");

/** What is final is kept for the next attempt, whatever way it comes; a delay is asked anew. */
const isRefusal = (reply: SmtpReply | undefined): reply is SmtpReply =>
  reply !== undefined && reply.code >= 500;

export function createCourier(options: CourierOptions) {
  const { destinations } = options;
  const posting = createPosting(options);
  const outcomes = createOutcomes(options.now);
  const smtpAfterHttps = createSmtpAfterHttps(options.now);

  const deliver = async (mail: HandedMail, door: Door): Promise<SmtpReply> => {
    const recipients = [...new Set(mail.to)];
    const domain = domainOf(recipients[0] ?? "");
    if (door === "last") {
      destinations.smtpFailed(domain);
      const state = await options.mailDomain(domain);
      if (state === "null MX") return nullMx;
      if (state === "does not exist") return noDomain;
    }
    const hasSecond = !isSecondOffer(door) && door !== "last";
    const leave = (why: NotByHttps) => {
      const said = leaveToSmtp({ mail, recipients, domain, door, why });
      // Postfix comes here once more before it goes on to SMTP.
      if (hasSecond && said.code < 500)
        for (const one of recipients) outcomes.refused("second offer", mail.from, one, said);
      return said;
    };
    if (recipients.some((one) => domainOf(one) !== domain)) return leave("several domains at once");
    if (!isPlain(mail)) return leave("it has no room for such an address");
    using body = await options.bodies.read(mail.source);
    const content = contentOf(mail.from, body);
    const isLeft = (one: string) => content === undefined || !outcomes.isDelivered(content, one);
    const left = recipients.filter(isLeft);
    if (left.length === 0) return taken;
    const done = await inPlace({ domain, recipients: left, mail, body }, door);
    if (typeof done === "string" && left.length === recipients.length) return leave(done);
    const replies = left.map((one) => (typeof done === "string" ? undefined : done.get(one)));
    const [first] = replies;
    // What is said now is said to all, also to those who have it: neither may a refusal of others reach them, nor SMTP.
    if (
      left.length === recipients.length &&
      first !== undefined &&
      replies.every((reply) => reply?.code === first.code && reply.text === first.text)
    )
      return asFinal(first, behind(door));
    // What is read once was not offered to those whom a refusal did not name.
    const unoffered = hasSecond && body.isWhole ? left.filter((_, i) => replies[i] === undefined) : [];
    const why = typeof done === "string" ? done : "no relay answers there";
    const said = unoffered.length > 0 && leaveToSmtp({ mail, recipients: unoffered, domain, door, why });
    // SMTP has one answer for all: each hears its own when the message is offered again.
    for (const [i, recipient] of left.entries()) {
      const reply = replies[i];
      if (reply !== undefined && reply.code < 400) {
        if (content !== undefined) outcomes.delivered(content, recipient);
      } else if (hasSecond) {
        if (reply !== undefined)
          outcomes.refused("second offer", mail.from, recipient, asFinal(reply, behind(door)));
        else if (said) outcomes.refused("second offer", mail.from, recipient, said);
      } else if (isRefusal(reply)) outcomes.refused("next attempt", mail.from, recipient, reply);
    }
    return hasSecond ? differ : asWaiting(differ, behind(door));
  };

  /** Without a place, or when it had to be given up, everybody is to wait; nothing is learned about the domain. */
  const inPlace = (letter: Letter, door: Door) => {
    const { domain, recipients, mail, body } = letter;
    const applicant = {
      ...{ sender: mail.from, domain, door },
      ...{ isKnown: destinations.isKnownByHttps(domain), bytes: body.isWhole ? body.bytes : MAX_WHOLE_BYTES },
    };
    return options.places.guard<Replies | NotByHttps>(
      applicant,
      async (place) => {
        const done = await posting.post(letter, place);
        return typeof done !== "string" && done.size === 0 ? "no relay answers there" : done;
      },
      () => posting.busy(recipients),
    );
  };

  const leaveToSmtp = ({ mail, recipients, domain, door, why }: Leaving): SmtpReply => {
    if (door === "last") return noWay(why);
    if (door === "known" || door === "known again") {
      // The next messages go the way of the others, and so does the next attempt for this one. A large message does
      // already (knownWays).
      if (why !== "it took no message of that size") destinations.httpsFailed(domain);
      if (!smtpAfterHttps.mayGoOn(mail.from)) {
        options.counted("deferred", recipients.length);
        return asWaiting(smtpLater, "SMTP");
      }
    } else if (why === "no relay answers there") destinations.leftToSmtp(domain);
    options.counted("smtp", recipients.length);
    return bySmtp(why);
  };

  /** What to say to a recipient before the message comes. */
  const refuseRecipient = (
    sender: string,
    recipient: string,
    others: readonly string[],
    door: Door,
  ): SmtpReply | undefined => {
    const known = outcomes.takeRefusal(
      isSecondOffer(door) ? "second offer" : "next attempt",
      sender,
      recipient,
    );
    if (known !== undefined) return known;
    const isOfUnknown = door === "first" || door === "first again";
    if (isOfUnknown && destinations.choice(domainOf(recipient)) === "smtp") return bySmtp("SMTP works there");
    if (fitsOneRequest([...others, recipient])) return undefined;
    return door === "known again" ? asWaiting(tooMany, "SMTP") : tooMany;
  };

  return { deliver, refuseRecipient };
}

/** Why a message is for SMTP. */
type NotByHttps =
  | Unposted
  | "no relay answers there"
  | "several domains at once"
  | "it has no room for such an address";

type Leaving = Readonly<{
  mail: HandedMail;
  recipients: readonly string[];
  domain: string;
  door: Door;
  why: NotByHttps;
}>;
