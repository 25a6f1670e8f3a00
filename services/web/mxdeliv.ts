/**
 * POST /mxdeliv: mail from other relays by HTTPS. The message goes on to a port of Postfix that is port 25 in all but
 * TLS, with the peer's address in front, so that one policy judges whatever comes in. Called by service.ts.
 *
 * Header: X-MAIL-FROM (absent for the null sender), X-MAIL-TO for each recipient. Body: the message. Answers: 200 "250
 * OK" when all have it; 400 with the reply of SMTP for each refused recipient when nobody has it.
 */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import type { Log } from "../lib/log.ts";
import { createNetworkPlaces } from "../lib/network-places.ts";
import { proxyHeader } from "../lib/proxy-header.ts";
import { openSmtpClient, type SmtpClient, SmtpClientError, type SmtpReply } from "../lib/smtp-client.ts";
import { createTally } from "../lib/tally.ts";
import type { Accepted } from "./accepted.ts";
import { type BodyPace, usualPace } from "./body.ts";
import { type Answer, HttpProblem, textAnswer, type WebRequest } from "./exchange.ts";
import type { WebLimits } from "./limits.ts";
import type { Routes } from "./router.ts";

export type MxdelivOptions = Readonly<{
  /** The relay's own domain: the name to say to Postfix. */
  domain: string;
  /** The port of Postfix that expects a PROXY header. */
  postfix: Readonly<{ host: string; port: number }>;
  maxMessageBytes: number;
  maxRecipients: number;
  /** Messages that came already. */
  accepted: Accepted;
  limits?: MxdelivLimits;
  log: Log;
}>;

export const mxdelivLimits = {
  /** Messages under way from one network: as many as Postfix sends to one host (default_destination_concurrency_limit). */
  ofNetwork: 20,
  /** From one IPv6 /48. */
  ofSite: 40,
  /** Of all, with up to `heldBytes` of memory each. */
  ofAll: 160,
  /** Of these, at Postfix: the port has 100 processes, and while all are taken Postfix hurries everybody (stress). */
  atPostfix: 80,
  /** So much of a message is here before Postfix is asked, in bytes: who dawdles over his first words costs no process. */
  heldBytes: 65_536,
  /** While half of the places are taken, a body may pause so long at its beginning, in milliseconds, */
  hurriedGraceMs: 5_000,
  /** and must come at this many bytes a second: a line of 40 kbit/s, on which no mail server stands. */
  hurriedBytesPerSecond: 5_000,
  /**
   * Postfix is silent so long after a command or the message, in milliseconds: shorter than the time a connection of
   * the web service may rest (limits.ts, answerMs), or the peer would never hear what became of its message.
   */
  replyMs: 50_000,
} as const;

export type MxdelivLimits = Readonly<Record<keyof typeof mxdelivLimits, number>>;

/**
 * What an account's address is made of, and no more than RFC 5321 §4.5.3.1.3 allows: a peer's words go into commands to
 * Postfix. Other addresses have no account here, and other relays send from none.
 */
const plainAddress =
  /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9._-]{1,253}|\[[A-Za-z0-9.:]{2,60}\])$/;

const syntaxError: SmtpReply = { code: 501, text: "5.1.3 an address cannot be read" };
const senderError: SmtpReply = { code: 501, text: "5.1.7 the sender's address cannot be read" };
const noRecipient: SmtpReply = { code: 503, text: "5.5.1 no recipient is named" };
const tooMany: SmtpReply = { code: 452, text: "4.5.3 too many recipients" };
const twiceAtOnce: SmtpReply = { code: 451, text: "4.3.0 the same message is just coming, try again later" };
const mailServerAway: SmtpReply = {
  code: 451,
  text: "4.3.2 the mail server does not answer, try again later",
};

export function mxdelivRoutes(options: MxdelivOptions): Routes {
  const { maxMessageBytes, limits = mxdelivLimits } = options;
  const places = createNetworkPlaces({ perNetwork: limits.ofNetwork, perSite: limits.ofSite });
  const away = createTally((cause, count) =>
    options.log.warn("mail by HTTPS could not be handed to the mail server", { cause, count }),
  );
  const shared: Shared = { coming: new Set(), atPostfix: 0, noteAway: away.note };
  let all = 0;
  const post = async (request: WebRequest): Promise<Answer> => {
    const network = all >= limits.ofAll ? undefined : places.take(request.client);
    if (network === undefined) throw tooManyAtOnce();
    all++;
    try {
      return await deliver(request, { ...options, limits }, shared);
    } finally {
      places.leave(network);
      all--;
    }
  };
  const pace = (usual: WebLimits): BodyPace =>
    all * 2 < limits.ofAll
      ? usualPace(usual)
      : {
          graceMs: Math.min(limits.hurriedGraceMs, usual.bodyGraceMs),
          bytesPerSecond: limits.hurriedBytesPerSecond,
          wholeMs: usual.bodyMs,
        };
  return { "/mxdeliv": { POST: post, maxBodyBytes: maxMessageBytes, pace } };
}

/** What all deliveries know together. */
type Shared = {
  /** Fingerprints of messages that Postfix is being given. */
  readonly coming: Set<string>;
  /** How many it is being given. */
  atPostfix: number;
  /** Says, not too often, that it could not be. */
  readonly noteAway: (cause: string) => void;
};

function tooManyAtOnce(): HttpProblem {
  return new HttpProblem(429, "too many messages at once", { "retry-after": "10" });
}

/** The message was delivered before, or is being delivered. */
class RepeatedError extends Error {
  override name = "RepeatedError";
  readonly reply: SmtpReply | undefined;
  constructor(reply?: SmtpReply) {
    super("this message is known");
    this.reply = reply;
  }
}

async function deliver(
  request: WebRequest,
  options: MxdelivOptions & { limits: MxdelivLimits },
  shared: Shared,
): Promise<Answer> {
  const from = request.headers.get("x-mail-from")?.trim() ?? "";
  // A field that stands several times may be joined on its way (RFC 9110 §5.3).
  const to = request.headers
    .all("x-mail-to")
    .flatMap((value) => value.split(","))
    .map((address) => address.trim());
  const wrong = wrongEnvelope(from, to, options.maxRecipients);
  if (wrong !== undefined) return refusal([wrong]);
  let client: SmtpClient | undefined;
  let fingerprint: Buffer | undefined;
  let isAtPostfix = false;
  /** The body as it comes. What is known is broken off before its end, so that Postfix drops it. */
  const source = async function* () {
    const hash = createHash("sha256").update(`${from}\0${[...to].sort().join("\0")}\0\0`);
    for await (const piece of request.body) {
      hash.update(piece);
      yield piece;
    }
    const found = hash.digest();
    if (options.accepted.has(found)) throw new RepeatedError();
    if (shared.coming.has(keyOf(found))) throw new RepeatedError(twiceAtOnce);
    fingerprint = found;
    shared.coming.add(keyOf(found));
  };
  try {
    const body = await startBody(source(), options.limits.heldBytes);
    if (shared.atPostfix >= options.limits.atPostfix) throw tooManyAtOnce();
    isAtPostfix = true;
    shared.atPostfix++;
    client = await openPostfix(request.client, options);
    const { replies, offered } = await client.send({ from, to, source: body });
    const isTaken = replies.every(({ code }) => code < 400);
    // At once: until it is noted, the end of this program would make the peer's next attempt a second message.
    if (isTaken && fingerprint !== undefined) options.accepted.add(fingerprint);
    client.close();
    if (isTaken) return textAnswer(200, "250 OK");
    return refusal(offered ? replies.slice(0, 1) : replies.filter(({ code }) => code >= 400));
  } catch (cause) {
    // Broken off before its end, a message is nowhere. Whether the client, the limit or Postfix did it:
    client?.destroy();
    if (cause instanceof RepeatedError)
      return cause.reply === undefined ? textAnswer(200, "250 OK") : refusal([cause.reply]);
    if (!(cause instanceof SmtpClientError)) throw cause;
    shared.noteAway(String(cause));
    return refusal([mailServerAway]);
  } finally {
    if (isAtPostfix) shared.atPostfix--;
    if (fingerprint !== undefined) shared.coming.delete(keyOf(fingerprint));
  }
}

/** The same bytes, of which so many are here when it resolves, or all. Rejects with what reading them throws. */
async function startBody(body: AsyncIterable<Buffer>, heldBytes: number): Promise<AsyncIterable<Buffer>> {
  const pieces = body[Symbol.asyncIterator]();
  const held: Buffer[] = [];
  let length = 0;
  let isWhole = false;
  while (length < heldBytes) {
    const next = await pieces.next();
    if (next.done) {
      isWhole = true;
      break;
    }
    held.push(next.value);
    length += next.value.length;
  }
  return (async function* () {
    yield* held.splice(0);
    if (!isWhole) yield* { [Symbol.asyncIterator]: () => pieces };
  })();
}

function keyOf(fingerprint: Buffer): string {
  return fingerprint.toString("latin1");
}

function wrongEnvelope(from: string, to: readonly string[], maxRecipients: number): SmtpReply | undefined {
  if (to.length === 0) return noRecipient;
  if (to.length > maxRecipients) return tooMany;
  if (from !== "" && !plainAddress.test(from)) return senderError;
  return to.every((address) => plainAddress.test(address)) ? undefined : syntaxError;
}

/** A line for each different reply, as SMTP would say it. */
function refusal(replies: readonly SmtpReply[]): Answer {
  return textAnswer(400, [...new Set(replies.map(({ code, text }) => `${code} ${text}`))].join("\r\n"));
}

async function openPostfix(
  client: string,
  options: MxdelivOptions & { limits: MxdelivLimits },
): Promise<SmtpClient> {
  const { host, port } = options.postfix;
  return await openSmtpClient(connect({ host, port, noDelay: true }), {
    name: options.domain,
    // The peer's port is not known here; a peer without an address is nobody's.
    preface: proxyHeader({ address: client || "::", port: 0 }, { address: host, port }),
    deliverTo: "all",
    replyLimitMs: options.limits.replyMs,
  });
}
